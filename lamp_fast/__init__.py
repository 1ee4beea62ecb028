"""LaMP (Language-Motion Pretraining, ICLR 2025) as software: text to motion, motion to text, retrieval."""

from importlib import import_module

__version__ = "0.1.0"

# Imported on first use, so that `import lamp_fast` costs nothing.
_PUBLIC = {
    "LampError": "errors",
    "LampConfig": "config",
    "MotionTokenizer": "models.tokenizer",
    "LanguageMotionModel": "models.language_motion",
    "MotionGenerator": "models.generator",
    "LengthPredictor": "models.length",
    "LampPipeline": "pipelines.text_to_motion",
    "MotionCaptioner": "pipelines.motion_to_text",
    "MotionOutput": "pipelines.output",
    "MotionRetriever": "retrieval.retriever",
}
__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
