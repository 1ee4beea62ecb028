"""Models on the Hugging Face Hub: `owner/name`, or `owner/name@revision`, in the place of a folder.

huggingface_hub is asked only where no folder has that name. Only weights in safetensors or ONNX, configurations and
texts go either way; no code and no pickle.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import LampError, first_line

FILES = ("*.safetensors", "*.onnx", "*.json", "*.txt", "*.jinja", "*.md", "LICENSE")
TRAINING = ("*state.safetensors", "*options.json", "*metrics.jsonl")  # what a run leaves beside the model
REPOSITORY = re.compile(r"(\w[\w.-]*/\w[\w.-]*?)(?:@([\w.-]+))?")


def find_folder(name_or_folder: str | os.PathLike) -> Path | None:
    """A folder on disk, or a repository of the Hub, downloaded; None where it is neither.

    Raises `LampError` for what looks like a repository and cannot be had.
    """
    if os.path.isdir(name_or_folder):
        return Path(name_or_folder)
    repository = REPOSITORY.fullmatch(str(name_or_folder))
    if repository is None or os.path.exists(name_or_folder):
        return None
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise LampError(
            f"there is no folder {str(name_or_folder)!r}; to look for a model of that name on the Hugging Face Hub: "
            "pip install 'lamp-fast[hub]'"
        ) from error
    name, revision = repository.groups()
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:  # its own errors are of these kinds
        raise LampError(
            f"there is no folder {str(name_or_folder)!r}, and the Hugging Face Hub gave no model of that name "
            f"({first_line(error)}); check the name, or download it where there is a network"
        ) from error


def push_to_hub(
    folder: str | os.PathLike, repository: str, private: bool = False, message: str = "Upload by lamp-fast"
) -> str:
    """Upload a model folder, its model card and licence; -> the address. The repository is made if there is none.

    Needs huggingface_hub, and a login of its own (`hf auth login`, or HF_TOKEN). Raises `LampError` for a folder that
    is no model, a name that is none, and whatever the Hub refuses.
    """
    folder = Path(folder)
    if not any((folder / name).is_file() for name in ("config.json", "lamp.json")):
        raise LampError(f"{folder} is not a model folder, it has no config.json; give one that lamp-fast wrote")
    match = REPOSITORY.fullmatch(repository)
    if match is None or match[2]:
        raise LampError(f"{repository!r} is no name of a repository; give it as owner/name")
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=repository,
            commit_message=message,
            allow_patterns=list(FILES),
            ignore_patterns=list(TRAINING),
        )
    except (OSError, ValueError) as error:
        raise LampError(f"{repository} cannot be written ({first_line(error)}); log in with `hf auth login`") from error
    return f"{api.endpoint}/{repository}"
