"""Which addresses open which store, and what a command reports when a store fails."""

import subprocess
import sys

import pytest

from deploy.buckets import open_bucket
from deploy.buckets.base import BucketError, ObjectCorrupt, finding_of
from deploy.buckets.gcs import GCSBucket
from deploy.buckets.local import LocalBucket
from deploy.reporting.findings import Refusal


def test_the_address_decides_the_store(tmp_path):
    assert isinstance(open_bucket(f"file://{tmp_path}"), LocalBucket)
    assert isinstance(open_bucket("gs://some-bucket"), GCSBucket)
    assert open_bucket("gs://some-bucket/with/prefix").url == "gs://some-bucket/with/prefix"


@pytest.mark.parametrize("url", ["", "some-bucket", "s3://some-bucket", "gs://", "file://relative"])
def test_other_addresses_are_refused(url):
    with pytest.raises(Refusal) as refused:
        open_bucket(url)
    assert [finding.id for finding in refused.value.findings] == ["deploy.K001"]
    assert refused.value.exit_code == 2


def test_without_googles_library_the_finding_says_what_to_install():
    code = (
        "import sys; sys.modules['google.cloud'] = None\n"
        "from deploy.buckets import open_bucket\n"
        "from deploy.reporting.findings import Refusal\n"
        "try: open_bucket('gs://some-bucket')\n"
        "except Refusal as refusal: print(*((f.id, f.hint) for f in refusal.findings))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == """('deploy.K005', "pip install 'google-cloud-storage>=3.17,<4'")"""


def test_a_store_that_fails_is_reported_with_what_was_tried():
    finding = finding_of(BucketError("HTTP 403 Forbidden."), "gs://b", "written")
    assert finding.id == "deploy.K002"
    assert finding.message == "The bucket gs://b could not be written: HTTP 403 Forbidden."


def test_damage_is_reported_with_both_checksums():
    finding = finding_of(ObjectCorrupt("ledger/1", expected="AAAA", actual="BBBB"), "gs://b")
    assert finding.id == "deploy.K004"
    assert "stored AAAA, read BBBB" in finding.message
    assert finding.place == "gs://b/ledger/1"


def test_a_local_bucket_needs_nothing_of_google_cloud():
    code = (
        "import sys; from deploy.buckets import open_bucket; open_bucket('file:///nowhere').stat('a');"
        "assert not [m for m in sys.modules if m.startswith(('google.cloud', 'google.auth', 'requests'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
