// As much of UnityEngine as examples/unity needs to compile; none of it does anything.
namespace AOT
{
    public sealed class MonoPInvokeCallbackAttribute : System.Attribute
    {
        public MonoPInvokeCallbackAttribute(System.Type type) { }
    }
}

namespace UnityEngine
{
    public class Object { public string name; }
    public class Component : Object { public Transform transform; }
    public class MonoBehaviour : Component { }
    public class Transform : Component, System.Collections.IEnumerable
    {
        public Vector3 position, localPosition;
        public Quaternion rotation, localRotation;
        public System.Collections.IEnumerator GetEnumerator() { yield break; }
    }
    public struct Vector3
    {
        public static Vector3 up;
        public Vector3(float x, float y, float z) { }
        public static Vector3 operator +(Vector3 a, Vector3 b) { return a; }
    }
    public struct Quaternion
    {
        public Quaternion(float x, float y, float z, float w) { }
        public static Quaternion AngleAxis(float degrees, Vector3 axis) { return new Quaternion(); }
        public static Quaternion operator *(Quaternion a, Quaternion b) { return a; }
        public static Vector3 operator *(Quaternion a, Vector3 b) { return b; }
    }
    public static class Mathf { public const float Rad2Deg = 57.29578f; }
    public static class Time { public static double timeAsDouble; }
    public static class Application { public static string streamingAssetsPath; }
    public sealed class TooltipAttribute : System.Attribute { public TooltipAttribute(string text) { } }
}
