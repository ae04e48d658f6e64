"""What our tests and users' tests of a deploy stand on: a Google Cloud Storage, and a bucket that fails."""

from .bucket_faults import BucketFault, every_fault
from .faulty_bucket import FaultyBucket
from .gcs_server import Fault, GCSServer, Request

__all__ = ["BucketFault", "Fault", "FaultyBucket", "GCSServer", "Request", "every_fault"]
