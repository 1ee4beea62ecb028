"""Static metadata is in pyproject.toml. Here: where the packages lie, and the native module, which CMake builds."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent
BUILD_NATIVE = os.environ.get("LAMP_FAST_BUILD_NATIVE", "auto")
if BUILD_NATIVE not in ("auto", "0", "1"):
    sys.exit(f"LAMP_FAST_BUILD_NATIVE is {BUILD_NATIVE!r}; it must be auto, 0 or 1")


def tool(name: str) -> str:
    """A program of the running Python's environment, else of PATH."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    if found is None:
        raise CompileError(f"{name} was not found; install it with: pip install {name}")
    return found


class CMakeBuild(build_ext):
    """Drives CMakeLists.txt. An optional extension that fails to build becomes one warning."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(self.build_temp).resolve() / "cmake"
        configure = [
            tool("cmake"), "-S", ROOT, "-B", build, "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
            f"-DCMAKE_BUILD_TYPE={'Debug' if self.debug else 'Release'}",
            f"-DPython_EXECUTABLE={sys.executable}",
            "-DLAMP_FAST_PYTHON=ON",
            "-DLAMP_FAST_CAPI=OFF",
            "-DLAMP_FAST_TESTS=OFF",
            f"-DLAMP_FAST_PYTHON_OUTPUT={target.parent}",
        ]  # fmt: skip
        try:
            subprocess.run(configure, check=True)
            subprocess.run([tool("cmake"), "--build", build], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CompileError("CMake says why above; it needs a C++17 compiler; lamp_fast works without it") from error


setup(
    packages=["lamp_fast", *(f"lamp_fast.{name}" for name in find_packages("lamp_fast")), "lamp_fast.kernels"],
    package_dir={"lamp_fast": "lamp_fast", "lamp_fast.kernels": "kernels"},
    package_data={"lamp_fast": ["py.typed", "assets/**/*"], "lamp_fast.export": ["page.html", "player.js"]},
    ext_modules=[] if BUILD_NATIVE == "0" else [Extension("lamp_fast._native", [], optional=BUILD_NATIVE == "auto")],
    cmdclass={"build_ext": CMakeBuild},
)
