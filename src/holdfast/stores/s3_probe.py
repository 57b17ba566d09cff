"""Finding out whether a service honours the conditions of S3: some take them and do as they like."""

from __future__ import annotations

import contextlib
from typing import Any

from holdfast.stores.base import Conditions
from holdfast.stores.requests import AnswerError, Requests
from holdfast.stores.s3_client import Client
from holdfast.stores.s3_errors import NO_UPLOAD, NOT_IMPLEMENTED, TAKEN

_ABSENT = {"IfNoneMatch": "*"}


def conditions(requests: Requests, client: Client, bucket: str, path: str) -> Conditions:
    """Overwrite the object at `path` in one request and in parts, each on the condition that there is none."""
    named = {"Bucket": bucket, "Key": path}
    if not _refused(requests, lambda: client.put_object(**named, **_ABSENT, Body=b"second"), path):
        return "ignored"
    upload: dict[str, Any] = requests.send(
        lambda: client.create_multipart_upload(**named), f"begin to write {path}"
    )
    told = {**named, "UploadId": upload["UploadId"]}
    try:
        part = requests.send(
            lambda: client.upload_part(**told, PartNumber=1, Body=b"third"), f"write part 1 of {path}"
        )
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        whole = _refused(
            requests,
            lambda: client.complete_multipart_upload(**told, **_ABSENT, MultipartUpload=parts),
            path,
        )
    finally:
        with contextlib.suppress(AnswerError):
            requests.send(
                lambda: client.abort_multipart_upload(**told),
                f"abort the upload of {path}",
                expected=NO_UPLOAD,
            )
    return "honoured" if whole else "honoured for small objects"


def _refused(requests: Requests, request: Any, path: str) -> bool:  # noqa: ANN401 - boto3 gives what it likes
    try:
        requests.send(request, f"write {path}", expected=TAKEN | NOT_IMPLEMENTED)
    except AnswerError as answer:
        return answer.code in TAKEN
    return False
