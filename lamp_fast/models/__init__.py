"""The models of LaMP over `lamp_fast.ops`."""
