"""HumanML3D's chain kinematics against the released code's numbers."""

from lamp_fast.motion.chains import bone_offsets, chain_forward_kinematics, chain_inverse_kinematics
from lamp_fast.motion.rotations import cont6d_to_quaternion, quaternion_to_cont6d
from lamp_fast.motion.skeleton import HUMANML3D


def test_forward_kinematics_matches_released_code(golden):
    data = golden("skeleton")
    root, offsets, quaternions = data["fk_root"], data["offsets"], data["fk_quat"]
    through_6d = cont6d_to_quaternion(quaternion_to_cont6d(quaternions))
    for name, rotations in (("fk", quaternions), ("fk_cont6d", through_6d)):
        joints = chain_forward_kinematics(rotations, root, HUMANML3D, offsets)
        still_root = chain_forward_kinematics(rotations, root, HUMANML3D, offsets, rotate_root=False)
        data.check("fk_joints" if name == "fk" else "fk_cont6d_joints", joints)
        data.check("fk_joints_noroot" if name == "fk" else "fk_cont6d_noroot", still_root)


def test_inverse_kinematics_matches_released_code(golden):
    data = golden("skeleton")
    joints = data["fk_joints"]
    rotations = chain_inverse_kinematics(joints, HUMANML3D)
    data.check("ik_quat", rotations)
    data.check("ik_quat_smooth", chain_inverse_kinematics(joints, HUMANML3D, smooth_facing=True))
    data.check("offsets_from_joints", bone_offsets(joints[0], HUMANML3D))
    data.check("offsets_batch", bone_offsets(joints, HUMANML3D))
    offsets = bone_offsets(joints[0], HUMANML3D)
    data.check("ik_fk_joints", chain_forward_kinematics(rotations, joints[:, 0], HUMANML3D, offsets))
