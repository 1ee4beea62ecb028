// The binding at work outside Unity: Demo.exe MODEL. What MotionPlayer.cs does in a scene, and a check of each call.
// Demo.exe alone tells where the fields of the structs lie, for a comparison with C's.
using System;
using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Threading;
using LampFast;

static class Demo
{
    static void Expect(bool condition, string what)
    {
        if (condition) return;
        Console.WriteLine("FAILED: " + what);
        Environment.ExitCode = 1;
    }

    static void PrintLayout()
    {
        foreach (Type type in typeof(Native).GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic))
        {
            if (!type.IsValueType) continue;
            string line = type.Name + " " + Marshal.SizeOf(type);
            foreach (FieldInfo field in type.GetFields()) line += " " + Marshal.OffsetOf(type, field.Name);
            Console.WriteLine(line);
        }
    }

    static void Main(string[] arguments)
    {
        if (arguments.Length == 0)
        {
            PrintLayout();
            return;
        }
        int lines = 0;
        Session.Logged += (level, text) => ++lines;
        try
        {
            Model.Load("no such file");
            Expect(false, "a file that does not exist is an error");
        }
        catch (LampException error)
        {
            Expect(error.Status == Status.File && error.Message.Contains("no such file"), error.Message);
        }

        using (var model = Model.Load(arguments[0]))
        using (var session = new Session(model))
        {
            Expect(lines == 1, "the log is heard");
            var joints = session.Joints();
            Expect(joints[0].Name == "pelvis" && joints[0].Parent == -1, "the skeleton begins with the pelvis");

            var motion = new Motion(session);
            var request = new MotionRequest { Prompt = "a person walks", Frames = 30, Seed = 7 };
            session.Generate(request, motion);
            Expect(motion.Frames == 30, "a motion is made");
            float first = motion.Positions[1];

            ulong ticket = session.Submit(request);
            float share;
            while (session.Poll(ticket, out share) == Status.Pending) Thread.Sleep(1);
            Expect(session.Result(ticket, motion) && motion.Positions[1] == first, "a request makes the same");
            session.Release(ticket);
            Expect(session.Poll(ticket, out share) == Status.NoRequest, "a ticket is good once");

            var between = new MotionRequest { Prompt = request.Prompt, Frames = 24 };
            between.Before = new float[5 * 3 * joints.Length];
            Array.Copy(motion.Positions, between.Before, between.Before.Length);
            session.Generate(between, motion);
            Expect(motion.Frames == 24 && motion.Positions[4] == between.Before[4], "frames are kept");

            using (var stream = new Stream(session))
            {
                var pose = new Pose(session);
                var clock = Stopwatch.StartNew();
                int waiting, ticks = 0, played = 0;
                double worst = 0;
                stream.Append(request);
                while (played < 60 && clock.Elapsed.TotalSeconds < 60)
                {
                    if (stream.SecondsLeft(out waiting) < 1 && waiting == 0) stream.Append(request);
                    long begin = Stopwatch.GetTimestamp();
                    Status status = stream.Sample(clock.Elapsed.TotalSeconds, pose);
                    double spent = 1e6 * (Stopwatch.GetTimestamp() - begin) / Stopwatch.Frequency;
                    if (ticks++ > 10 && spent > worst) worst = spent;
                    if (status == Status.Ok) ++played;
                    Expect(status == Status.Ok || status == Status.Underrun, "a tick has a status");
                    Thread.Sleep(16);
                }
                Expect(played == 60, "a second is played");
                Console.WriteLine("{0} ticks, {1} with motion; at worst {2:0} us", ticks, played, worst);
            }
        }
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }
}
