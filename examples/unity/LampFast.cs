// lamp_fast for C#: Unity (copy this file and the native library into Assets/Plugins), .NET and Mono.
//
// What is created here is freed by Dispose or by the garbage collector; a stream keeps its session alive, a session its
// model. Errors of the library become LampException with its sentence. Nothing is allocated by Poll, Result, Sample.
using System;
using System.Runtime.InteropServices;
using System.Text;
#if UNITY_5_3_OR_NEWER
using MonoPInvokeCallbackAttribute = AOT.MonoPInvokeCallbackAttribute;
#endif

namespace LampFast
{
    public enum Status
    {
        Ok = 0,
        Pending = 1,
        Underrun = 2,
        InvalidArgument = -1,
        NotFinite = -2,
        OutOfMemory = -3,
        File = -4,
        Format = -5,
        Unsupported = -6,
        Text = -7,
        StructSize = -8,
        TooLong = -9,
        TooSmall = -10,
        Full = -11,
        NoRequest = -12,
        Cancelled = -13,
        Deadline = -14,
        Internal = -15,
    }

    public enum Precision { Float32 = 0, BFloat16 = 1, Int8 = 2 }

    public enum Coordinates { Gltf = 0, Unity = 1, Unreal = 2, Blender = 3 }

    public enum Threading { Worker = 0, Caller = 1 }

    public enum RootMode { InPose = 0, Separate = 1 }

    public enum LogLevel { Info = 1, Warning = 2, Error = 3 }

    public sealed class LampException : Exception
    {
        public Status Status { get; private set; }

        public LampException(Status status, string sentence) : base(sentence)
        {
            Status = status;
        }
    }

    public struct Joint
    {
        public string Name;
        public int Parent;
        public float X, Y, Z;
    }

    // What is wanted; as lf_generate_params.
    public sealed class MotionRequest
    {
        public const int FramesFromPrompt = -1;

        public string Prompt;
        public float[] Condition; // in place of the prompt
        public int Frames = 80, Steps = 10, TopK = 0;
        public float Guidance = 4, Temperature = 1;
        public ulong Seed;
        public ulong DeadlineMicroseconds;
        public float[] Before, After; // positions of frames that are kept
    }

    // A motion in arrays that are used again and again.
    public sealed class Motion
    {
        public int Frames;
        public readonly float[] Positions, Rotations, RootPositions, RootRotations, Contacts;

        public Motion(Session session) : this(session.JointCount, session.Model.MaxFrames) { }

        public Motion(int joints, int frames)
        {
            Positions = new float[frames * joints * 3];
            Rotations = new float[frames * joints * 4];
            RootPositions = new float[frames * 3];
            RootRotations = new float[frames * 4];
            Contacts = new float[frames * 4];
        }
    }

    // One tick of a stream, in arrays that are used again and again.
    public sealed class Pose
    {
        public readonly float[] Positions, Rotations;
        public readonly float[] RootPosition = new float[3], RootRotation = new float[4], RootStep = new float[3];
        public readonly float[] Contacts = new float[4];
        public float RootTurn;
        public double Frame;
        public uint Segment;

        public Pose(Session session)
        {
            Positions = new float[session.JointCount * 3];
            Rotations = new float[session.JointCount * 4];
        }
    }

    public sealed class Model : SafeHandle
    {
        Native.ModelInfo info;

        Model() : base(IntPtr.Zero, true) { }

        public override bool IsInvalid { get { return handle == IntPtr.Zero; } }

        public float FramesPerSecond { get { return info.FramesPerSecond; } }
        public int MaxFrames { get { return info.MaxFrames; } }
        public int ConditionWidth { get { return info.ConditionWidth; } }
        public int EmbeddingWidth { get { return info.EmbeddingWidth; } }

        public static Model Load(string path, Precision precision = Precision.Float32)
        {
            Native.CheckVersion();
            Native.ModelParams settings;
            Native.lf_model_params_init(out settings);
            settings.Precision = (int)precision;
            Native.Error error;
            IntPtr made;
            Native.Check(Native.lf_model_load(Native.Utf8(path), ref settings, out made, out error), ref error);
            var model = new Model();
            model.SetHandle(made);
            model.info.StructSize = (ulong)Marshal.SizeOf(typeof(Native.ModelInfo));
            Native.Check(Native.lf_model_get_info(model, ref model.info, out error), ref error);
            return model;
        }

        protected override bool ReleaseHandle()
        {
            Native.lf_model_release(handle);
            return true;
        }
    }

    public sealed class SessionOptions
    {
        public Coordinates Coordinates = Coordinates.Unity;
        public Threading Threading = Threading.Worker;
        public RootMode RootMode = RootMode.InPose;
        public int Threads = 1, MaxRequests = 8, MaxStreams = 4;
        public float StreamSeconds = 30;
        public bool PlainSkeleton = false;
    }

    public sealed class Session : SafeHandle
    {
        // Lines of the log, on the thread that works: hand them to your own, as Unity's Debug.Log takes them from any.
        public static event Action<LogLevel, string> Logged;

        public Model Model { get; private set; }
        public int JointCount { get; private set; }

        public override bool IsInvalid { get { return handle == IntPtr.Zero; } }

        public Session(Model model, SessionOptions options = null) : base(IntPtr.Zero, true)
        {
            options = options ?? new SessionOptions();
            Native.SessionParams settings;
            Native.lf_session_params_init(out settings);
            settings.Callbacks.Log = OnLog;
            settings.Coordinates = (int)options.Coordinates;
            settings.Threading = (int)options.Threading;
            settings.RootMode = (int)options.RootMode;
            settings.Threads = options.Threads;
            settings.MaxRequests = options.MaxRequests;
            settings.MaxStreams = options.MaxStreams;
            settings.StreamSeconds = options.StreamSeconds;
            settings.Skeleton = options.PlainSkeleton ? 1 : 0;
            Native.Error error;
            IntPtr made;
            Native.Check(Native.lf_session_create(model, ref settings, out made, out error), ref error);
            SetHandle(made);
            Model = model;
            JointCount = Native.lf_session_joint_count(this);
        }

        public Joint[] Joints()
        {
            var joints = new Joint[JointCount];
            var joint = new Native.Joint { StructSize = (ulong)Marshal.SizeOf(typeof(Native.Joint)) };
            for (int i = 0; i < joints.Length; ++i)
            {
                Native.Error error;
                Native.Check(Native.lf_session_joint(this, i, ref joint, out error), ref error);
                joints[i] = new Joint { Name = joint.Name, Parent = joint.Parent, X = joint.X, Y = joint.Y, Z = joint.Z };
            }
            return joints;
        }

        // Waits; not for the main thread of a game.
        public void Generate(MotionRequest request, Motion motion)
        {
            using (var pinned = new Native.Pinned())
            {
                Native.Error error;
                var settings = Native.ParamsOf(request, JointCount, pinned);
                var arrays = Native.MotionOf(motion, pinned);
                Native.Check(Native.lf_generate(this, ref settings, ref arrays, out error), ref error);
                motion.Frames = arrays.Frames;
            }
        }

        // A ticket: poll it once in a frame.
        public ulong Submit(MotionRequest request)
        {
            using (var pinned = new Native.Pinned())
            {
                Native.Error error;
                ulong ticket;
                var settings = Native.ParamsOf(request, JointCount, pinned);
                Native.Check(Native.lf_request_submit(this, ref settings, out ticket, out error), ref error);
                return ticket;
            }
        }

        public Status Poll(ulong ticket, out float share)
        {
            return (Status)Native.lf_request_poll(this, ticket, out share);
        }

        public void Cancel(ulong ticket)
        {
            Native.lf_request_cancel(this, ticket);
        }

        public void Release(ulong ticket)
        {
            Native.lf_request_release(this, ticket);
        }

        // False while it is not done.
        public bool Result(ulong ticket, Motion motion)
        {
            using (var pinned = new Native.Pinned())
            {
                Native.Error error;
                var arrays = Native.MotionOf(motion, pinned);
                int status = Native.lf_request_result(this, ticket, ref arrays, out error);
                if (status == (int)Status.Pending) return false;
                Native.Check(status, ref error);
                motion.Frames = arrays.Frames;
                return true;
            }
        }

        // With Threading.Caller: work for so long on this thread. True while there is more to do.
        public bool Pump(ulong microseconds)
        {
            return Native.lf_session_pump(this, microseconds) == (int)Status.Pending;
        }

        // The prompt as MotionRequest.Condition takes it: once, in the editor.
        public float[] Encode(string prompt)
        {
            Native.Error error;
            var condition = new float[Model.ConditionWidth];
            Native.Check(Native.lf_encode_prompt(this, Native.Utf8(prompt), condition, out error), ref error);
            return condition;
        }

        public float[] Embed(string text)
        {
            Native.Error error;
            var embedding = new float[Model.EmbeddingWidth];
            Native.Check(Native.lf_embed_text(this, Native.Utf8(text), embedding, out error), ref error);
            return embedding;
        }

        protected override bool ReleaseHandle()
        {
            Native.lf_session_destroy(handle);
            return true;
        }

        // Static, and kept: the library holds a pointer to it.
        static readonly Native.LogCallback OnLog = Log;

        [MonoPInvokeCallback(typeof(Native.LogCallback))]
        static void Log(int level, IntPtr text, IntPtr userData)
        {
            try
            {
                var listeners = Logged;
                if (listeners != null) listeners((LogLevel)level, Native.TextOf(text));
            }
            catch (Exception)
            {
                // No exception may run into native code.
            }
        }
    }

    public sealed class Stream : SafeHandle
    {
        readonly Session session;

        public override bool IsInvalid { get { return handle == IntPtr.Zero; } }

        // idleSeconds: in which a character without frames slows down and comes to stand at ease; 0: it holds its pose.
        public Stream(Session session, float x = 0, float y = 0, float z = 0, float heading = 0, float idleSeconds = 0)
            : base(IntPtr.Zero, true)
        {
            Native.StreamParams settings;
            Native.lf_stream_params_init(out settings);
            settings.X = x;
            settings.Y = y;
            settings.Z = z;
            settings.Heading = heading;
            settings.IdleSeconds = idleSeconds;
            Native.Error error;
            IntPtr made;
            bool kept = false;
            Native.Check(Native.lf_stream_create(session, ref settings, out made, out error), ref error);
            SetHandle(made);
            this.session = session;
            session.DangerousAddRef(ref kept); // until ReleaseHandle
        }

        public void Append(MotionRequest request)
        {
            using (var pinned = new Native.Pinned())
            {
                Native.Error error;
                var settings = Native.ParamsOf(request, session.JointCount, pinned);
                Native.Check(Native.lf_stream_append(this, ref settings, IntPtr.Zero, out error), ref error);
            }
        }

        // Seconds of motion left, and segments that are being made.
        public double SecondsLeft(out int waiting)
        {
            var info = new Native.StreamInfo { StructSize = (ulong)Marshal.SizeOf(typeof(Native.StreamInfo)) };
            Native.lf_stream_get_info(this, ref info);
            waiting = info.SegmentsWaiting;
            return info.SecondsLeft;
        }

        // One tick. Status.Underrun: no motion for that time; the pose is held.
        public unsafe Status Sample(double seconds, Pose pose)
        {
            fixed (float* positions = pose.Positions, rotations = pose.Rotations)
            {
                Native.Pose raw = default(Native.Pose);
                raw.StructSize = (ulong)sizeof(Native.Pose);
                raw.Positions = (IntPtr)positions;
                raw.Rotations = (IntPtr)rotations;
                int status = Native.lf_stream_sample(this, seconds, &raw);
                for (int i = 0; i < 3; ++i) pose.RootPosition[i] = raw.RootPosition[i];
                for (int i = 0; i < 4; ++i) pose.RootRotation[i] = raw.RootRotation[i];
                for (int i = 0; i < 3; ++i) pose.RootStep[i] = raw.RootStep[i];
                for (int i = 0; i < 4; ++i) pose.Contacts[i] = raw.Contacts[i];
                pose.RootTurn = raw.RootTurn;
                pose.Frame = raw.Frame;
                pose.Segment = raw.Segment;
                return (Status)status;
            }
        }

        protected override bool ReleaseHandle()
        {
            Native.lf_stream_destroy(handle);
            if (session != null) session.DangerousRelease();
            return true;
        }
    }

#if !UNITY_5_3_OR_NEWER
    // Unity has its own, in AOT; elsewhere nobody looks for it.
    [AttributeUsage(AttributeTargets.Method)]
    sealed class MonoPInvokeCallbackAttribute : Attribute
    {
        public MonoPInvokeCallbackAttribute(Type type) { }
    }
#endif

    // lamp_fast.h once more; fields lie where C puts them.
    static unsafe class Native
    {
#if UNITY_IOS && !UNITY_EDITOR
        const string Library = "__Internal";
#else
        const string Library = "lamp_fast";
#endif
        const uint AbiVersion = 1;

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        public delegate void LogCallback(int level, IntPtr text, IntPtr userData);

        [StructLayout(LayoutKind.Sequential)]
        public struct Error
        {
            public int Status;
            public fixed byte Text[256];
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct ModelParams
        {
            public ulong StructSize;
            public IntPtr Allocator;
            public int Precision, Reserved;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct ModelInfo
        {
            public ulong StructSize, Bytes;
            public float FramesPerSecond;
            public int MaxFrames, FramesPerToken, ConditionWidth, EmbeddingWidth, FeatureWidth;
            public int MakesMotions, ReadsMotions, PredictsLengths, Reserved;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct Callbacks
        {
            public LogCallback Log;
            public IntPtr Progress, Done, UserData;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct SessionParams
        {
            public ulong StructSize;
            public IntPtr Allocator, Arena;
            public ulong ArenaBytes;
            public Callbacks Callbacks;
            public IntPtr ParallelFor, ParallelForUserData;
            public int Threading, Threads, Coordinates;
            public float UnitsPerMetre;
            public int RootMode, Skeleton, MaxRequests, MaxStreams;
            public float StreamSeconds;
            public int Reserved;
        }

        [StructLayout(LayoutKind.Sequential, CharSet = CharSet.Ansi)]
        public struct Joint
        {
            public ulong StructSize;
            [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 32)]
            public string Name;
            public int Parent;
            public float X, Y, Z;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct GenerateParams
        {
            public ulong StructSize;
            public IntPtr Prompt, Condition;
            public int Frames, Steps;
            public float Guidance, Temperature;
            public int TopK, BeforeFrames;
            public IntPtr Before, After;
            public int AfterFrames, Reserved;
            public ulong Seed, DeadlineMicroseconds;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct MotionArrays
        {
            public ulong StructSize;
            public int FrameCapacity, Frames;
            public IntPtr Positions, Rotations, RootPositions, RootRotations, Contacts, Features, Tokens;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct StreamParams
        {
            public ulong StructSize;
            public float X, Y, Z, Heading;
            public int BlendFrames;
            public float IdleSeconds;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct StreamInfo
        {
            public ulong StructSize, FramesCommitted;
            public double SecondsLeft;
            public int FramesFree, SegmentsWaiting;
            public ulong Samples, Underruns;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct Pose
        {
            public ulong StructSize;
            public IntPtr Positions, Rotations;
            public double Frame;
            public fixed float RootPosition[3];
            public fixed float RootRotation[4];
            public fixed float RootStep[3];
            public float RootTurn;
            public fixed float Contacts[4];
            public uint Segment;
        }

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        static extern uint lf_abi_version();
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_model_params_init(out ModelParams settings);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_model_load(byte[] path, ref ModelParams settings, out IntPtr model, out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern void lf_model_release(IntPtr model);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_model_get_info(Model model, ref ModelInfo info, out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_session_params_init(out SessionParams settings);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_session_create(Model model, ref SessionParams settings, out IntPtr session,
                                                   out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern void lf_session_destroy(IntPtr session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_session_pump(Session session, ulong microseconds);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_session_joint_count(Session session);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_session_joint(Session session, int index, ref Joint joint, out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_generate_params_init(out GenerateParams settings);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_generate(Session session, ref GenerateParams settings, ref MotionArrays motion,
                                             out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_encode_prompt(Session session, byte[] prompt, float[] condition, out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_embed_text(Session session, byte[] text, float[] embedding, out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_request_submit(Session session, ref GenerateParams settings, out ulong request,
                                                   out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_request_poll(Session session, ulong request, out float share);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_request_cancel(Session session, ulong request);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_request_result(Session session, ulong request, ref MotionArrays motion,
                                                   out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_request_release(Session session, ulong request);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_stream_params_init(out StreamParams settings);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_stream_create(Session session, ref StreamParams settings, out IntPtr stream,
                                                  out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern void lf_stream_destroy(IntPtr stream);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_stream_append(Stream stream, ref GenerateParams settings, IntPtr request,
                                                  out Error error);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_stream_get_info(Stream stream, ref StreamInfo info);
        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        public static extern int lf_stream_sample(Stream stream, double seconds, Pose* pose);

        public static void CheckVersion()
        {
            uint version = lf_abi_version();
            if (version == AbiVersion) return;
            throw new LampException(Status.Unsupported, "the library has version " + version + ", this file " + AbiVersion);
        }

        public static void Check(int status, ref Error error)
        {
            if (status >= 0) return;
            fixed (byte* text = error.Text) throw new LampException((Status)status, TextOf((IntPtr)text));
        }

        public static byte[] Utf8(string text)
        {
            var bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1]; // zero at the end
            Encoding.UTF8.GetBytes(text, 0, text.Length, bytes, 0);
            return bytes;
        }

        public static string TextOf(IntPtr text)
        {
            int length = 0;
            while (Marshal.ReadByte(text, length) != 0) ++length;
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes);
        }

        // Arrays that stay where they are during one call.
        public sealed class Pinned : IDisposable
        {
            readonly GCHandle[] handles = new GCHandle[8];
            int count;

            public IntPtr Add(Array array)
            {
                if (array == null) return IntPtr.Zero;
                handles[count] = GCHandle.Alloc(array, GCHandleType.Pinned);
                return handles[count++].AddrOfPinnedObject();
            }

            public void Dispose()
            {
                while (count > 0) handles[--count].Free();
            }
        }

        public static GenerateParams ParamsOf(MotionRequest request, int joints, Pinned pinned)
        {
            GenerateParams settings;
            lf_generate_params_init(out settings);
            settings.Prompt = request.Prompt == null ? IntPtr.Zero : pinned.Add(Utf8(request.Prompt));
            settings.Condition = pinned.Add(request.Condition);
            settings.Frames = request.Frames;
            settings.Steps = request.Steps;
            settings.Guidance = request.Guidance;
            settings.Temperature = request.Temperature;
            settings.TopK = request.TopK;
            settings.Seed = request.Seed;
            settings.DeadlineMicroseconds = request.DeadlineMicroseconds;
            settings.Before = pinned.Add(request.Before);
            settings.After = pinned.Add(request.After);
            settings.BeforeFrames = request.Before == null ? 0 : request.Before.Length / (3 * joints);
            settings.AfterFrames = request.After == null ? 0 : request.After.Length / (3 * joints);
            return settings;
        }

        public static MotionArrays MotionOf(Motion motion, Pinned pinned)
        {
            var arrays = new MotionArrays { StructSize = (ulong)sizeof(MotionArrays) };
            arrays.FrameCapacity = motion.Contacts.Length / 4;
            arrays.Positions = pinned.Add(motion.Positions);
            arrays.Rotations = pinned.Add(motion.Rotations);
            arrays.RootPositions = pinned.Add(motion.RootPositions);
            arrays.RootRotations = pinned.Add(motion.RootRotations);
            arrays.Contacts = pinned.Add(motion.Contacts);
            return arrays;
        }
    }
}
