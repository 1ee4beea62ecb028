// A character of Unity that does what it is told: add to a GameObject, name the model file and the bones.
using System.IO;
using LampFast;
using UnityEngine;

public sealed class MotionPlayer : MonoBehaviour
{
    [Tooltip("In StreamingAssets, written by lamp-fast export native.")]
    public string modelFile = "lamp-mini.safetensors";
    [Tooltip("Transforms named as the joints of the model, below this object, in a T-pose that faces +Z.")]
    public Transform skeleton;
    public string prompt = "a person walks forward";

    Model model;
    Session session;
    LampFast.Stream stream;
    LampFast.Pose pose;
    Transform[] bones;
    ulong seed;

    void Awake()
    {
        model = Model.Load(Path.Combine(Application.streamingAssetsPath, modelFile), Precision.Int8);
        session = new Session(model, new SessionOptions { RootMode = RootMode.Separate });
        stream = new LampFast.Stream(session);
        pose = new LampFast.Pose(session);
        var joints = session.Joints();
        bones = new Transform[joints.Length];
        for (int i = 0; i < joints.Length; ++i) bones[i] = Find(skeleton, joints[i].Name);
    }

    void Update()
    {
        int waiting;
        if (stream.SecondsLeft(out waiting) < 3 && waiting == 0)
            stream.Append(new MotionRequest { Prompt = prompt, Frames = 60, Seed = seed++ });

        stream.Sample(Time.timeAsDouble, pose);
        // The root moves this object; a CharacterController takes the step in the same way.
        transform.position += transform.rotation * new Vector3(pose.RootStep[0], 0, pose.RootStep[2]);
        transform.rotation *= Quaternion.AngleAxis(Mathf.Rad2Deg * pose.RootTurn, Vector3.up);
        for (int i = 0; i < bones.Length; ++i)
        {
            if (bones[i] == null) continue;
            int r = 4 * i;
            bones[i].localRotation = new Quaternion(pose.Rotations[r], pose.Rotations[r + 1], pose.Rotations[r + 2], pose.Rotations[r + 3]);
        }
        bones[0].localPosition = new Vector3(pose.Positions[0], pose.Positions[1], pose.Positions[2]);
    }

    void OnDestroy()
    {
        stream.Dispose();
        session.Dispose();
        model.Dispose();
    }

    static Transform Find(Transform from, string name)
    {
        if (from.name == name) return from;
        foreach (Transform child in from)
        {
            Transform found = Find(child, name);
            if (found != null) return found;
        }
        return null;
    }
}
