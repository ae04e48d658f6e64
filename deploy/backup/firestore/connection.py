"""Which Firestore database, a client for it, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.conf_backup import FirestoreConf
from deploy.reporting.findings import Finding, Refusal

from .findings import CLIENT_MISSING, DATABASE_MISSING, FAILED, FORBIDDEN

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

VIEWER = "roles/datastore.viewer"
USER = "roles/datastore.user"
EXPORTER = "roles/datastore.importExportAdmin"


@dataclass(frozen=True, slots=True)
class Database:
    """A Firestore database by Google Cloud's names."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"

    @property
    def path(self) -> str:
        """What the API calls it."""
        return f"projects/{self.project}/databases/{self.name}"

    @property
    def documents(self) -> str:
        """What every document's name begins with, and a slash."""
        return f"{self.path}/documents"

    @classmethod
    def from_path(cls, path: str) -> Database:
        """Back from `path`. Raises ValueError."""
        parts = path.split("/")
        if len(parts) != 4 or (parts[0], parts[2]) != ("projects", "databases") or not all(parts):
            raise ValueError(f"{path!r} is not projects/PROJECT/databases/DATABASE")
        return cls(parts[1], parts[3])


def database_of(conf: FirestoreConf) -> Database:
    """The one that the configuration names."""
    return Database(conf.project, conf.database)


@contextmanager
def connected(database: Database, endpoint: str) -> Iterator[FirestoreClient]:
    """A client of the Firestore API; what Google refuses within the block is not translated.

    Args:
        endpoint: empty for Google's, with the application default credentials; `http://HOST:PORT` of an
            emulator.

    Raises:
        Refusal: deploy.B075 without the library, B076 without credentials.
    """
    try:
        from google.cloud.firestore_v1.services.firestore import FirestoreClient
    except ImportError as error:
        raise Refusal(CLIENT_MISSING(database=database, module=error.name)) from error
    if endpoint:
        client = FirestoreClient(transport=_emulated(endpoint))
    else:
        with refusing(database, "opened", VIEWER):
            client = FirestoreClient()
    with client:
        yield client


def _emulated(endpoint: str) -> Any:
    """A transport without encryption, with the rights that the emulator gives to its owner."""
    import grpc
    from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

    class Owner(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]  # grpc has no types
        def intercept_unary_unary(self, call: Any, details: Any, request: Any) -> Any:
            owned = (*(details.metadata or ()), ("authorization", "Bearer owner"))
            return call(details._replace(metadata=owned), request)

        intercept_unary_stream = intercept_unary_unary

    # Documents have up to 1 MiB, and a batch of them more than gRPC takes by itself.
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    channel = grpc.insecure_channel(endpoint.removeprefix("http://").rstrip("/"), options=options)
    return FirestoreGrpcTransport(channel=grpc.intercept_channel(channel, Owner()))


@contextmanager
def refusing(database: Database, action: str, role: str) -> Iterator[None]:
    """What Google's libraries raise in the block becomes a refusal with the command that helps.

    Args:
        action: the past participle of what is tried.
        role: what a grant would need.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from requests import RequestException

    try:
        yield
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise Refusal(finding_of(error, database, action, role)) from error


def finding_of(error: Exception, database: Database, action: str, role: str) -> Finding:
    """What is said of an error of Google's libraries: deploy.B076, B077 or B079."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    values: dict[str, Any] = {
        "database": database,
        "project": database.project,
        "action": action,
        "reason": reason_of(error),
    }
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized | GoogleAuthError):
        return FORBIDDEN(**values, role=role)
    if isinstance(error, exceptions.NotFound):
        return DATABASE_MISSING(**values)
    return failed(database, action, values["reason"])


def failed(database: Database, action: str, reason: object) -> Finding:
    """deploy.B079 for what no library's error says."""
    return FAILED(
        database=database, project=database.project, name=database.name, action=action, reason=reason
    )


def reason_of(error: Exception) -> str:
    """The first line of what the API said, as part of a sentence."""
    from requests import RequestException

    if isinstance(error, RequestException):  # its text is of the library's objects
        return f"its service does not answer ({type(error).__name__})"
    text = str(getattr(error, "message", "") or error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:300]
