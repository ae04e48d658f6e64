"""What our tests and users' tests of a deploy stand on: a Google Cloud Storage of their own."""

from .gcs_server import Fault, GCSServer, Request

__all__ = ["Fault", "GCSServer", "Request"]
