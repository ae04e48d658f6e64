"""Archives that only the holder of a private key can read: age (https://age-encryption.org/v1), by pyrage.

The bucket's operator, and whoever gets at its credentials, sees the manifest only: names, sizes, numbers of
rows and digests. The public keys are in the settings and in the manifest, the private one stays where backups
are proved or restored. Without this software: age -d -i key.txt archive.dump.zst | zstd -d | pg_restore -d …
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.conf import DeployConf
from deploy.reporting.findings import Finding, FindingType, Refusal
from deploy.reporting.redaction import register_secret

from .piping import Reader, Writer, through

if TYPE_CHECKING:
    from .manifest import Manifest

METHOD = "age"

RECIPIENT_MALFORMED = FindingType(
    "deploy.B100",
    "error",
    "DEPLOY['BACKUP_AGE_RECIPIENTS'] holds {recipient}, which is not a public key of age.",
    "Set it to what this prints, age1…: age-keygen -y key.txt",
)
NO_IDENTITY = FindingType(
    "deploy.B101",
    "error",
    "Backups are encrypted for {recipients}, and DEPLOY['BACKUP_AGE_IDENTITY'] names no private key to read "
    "them with.",
    "export BACKUP_AGE_IDENTITY=/path/to/key.txt (backups verify --grade L0 needs none)",
)
IDENTITY_UNUSABLE = FindingType(
    "deploy.B102",
    "error",
    "The file {path} of DEPLOY['BACKUP_AGE_IDENTITY'] cannot be used: {reason}.",
    "Make one with: age-keygen -o key.txt && chmod 600 key.txt",
)
IDENTITY_OF_OTHERS = FindingType(
    "deploy.B103",
    "error",
    "The private key of {path} is of {ours}, and backups are encrypted for {recipients}.",
    "export BACKUP_AGE_IDENTITY=/path/to/the-other-key.txt",
)
IDENTITY_EXPOSED = FindingType(
    "deploy.B104",
    "warning",
    "The private key {path} can be read by other users of this machine (mode {mode:o}).",
    "chmod 600 {path}",
)
AGE_MISSING = FindingType(
    "deploy.B105",
    "error",
    "Encrypted backups need pyrage, which is not installed.",
    "pip install 'pyrage>=1.4,<2'",
)


class DoesNotDecrypt(ValueError):  # noqa: N818 – reads as the fact it is
    """The bytes are not what was encrypted, or not for this key; the message says what age makes of them."""


def _age() -> Any:
    try:
        import pyrage
    except ImportError as error:
        raise Refusal(AGE_MISSING()) from error
    return pyrage


def require_recipients(conf: DeployConf) -> tuple[str, ...]:
    """The public keys to encrypt for, all of them usable; none where backups are not encrypted.

    Raises:
        Refusal: deploy.B100, B105.
    """
    if conf.backup.age_recipients:
        age = _age()
        for recipient in conf.backup.age_recipients:
            _recipient(age, recipient)
    return conf.backup.age_recipients


def _recipient(age: Any, text: str) -> Any:
    try:
        return age.x25519.Recipient.from_str(text)
    except age.RecipientError as error:
        shown = repr(text)
        if text.strip().upper().startswith("AGE-SECRET-KEY-"):
            register_secret(text)
            shown = "a private key"
        raise Refusal(RECIPIENT_MALFORMED(recipient=shown)) from error


def require_readable(
    conf: DeployConf, manifest: Manifest | None = None, *, grade: str = "L2"
) -> list[Finding]:
    """Refuse what could not be proved: backups encrypted for keys of which this machine has none.

    Args:
        manifest: a backup that is there; without it, the one that the configuration would make.
        grade: how far it is to be proved; L0 needs no private key.

    Returns:
        Warnings (deploy.B104).

    Raises:
        Refusal: deploy.B101, B102, B103, B105.
    """
    if manifest is not None:
        recipients = tuple(manifest.encryption.get("recipients", ()))
    else:
        recipients = require_recipients(conf)
    if not recipients or grade == "L0":
        return []
    ours = [str(identity.to_public()) for identity in _identities(conf, recipients)]
    path = Path(conf.backup.age_identity)
    if not set(ours) & set(recipients):
        raise Refusal(IDENTITY_OF_OTHERS(path=path, ours=", ".join(ours), recipients=", ".join(recipients)))
    mode = stat.S_IMODE(path.stat().st_mode)
    return [IDENTITY_EXPOSED(path=path, mode=mode)] if mode & 0o077 else []


def _identities(conf: DeployConf, recipients: tuple[str, ...]) -> list[Any]:
    """The private keys of the file, as age-keygen writes it: one a line, lines with # are comments."""
    age = _age()
    if not conf.backup.age_identity:
        raise Refusal(NO_IDENTITY(recipients=", ".join(recipients)))
    path = Path(conf.backup.age_identity)
    try:
        # It is read for every archive: a pipe would be empty, or keep us waiting, the second time.
        if path.exists() and not path.is_file():
            raise Refusal(IDENTITY_UNUSABLE(path=path, reason="it is a pipe or a folder, not a file"))
        # Editors on Windows begin a text with a mark.
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Refusal(IDENTITY_UNUSABLE(path=path, reason=reason)) from error
    keys = [line for line in lines if line and not line.startswith("#")]
    for key in keys:
        register_secret(key)
    if not keys:
        raise Refusal(IDENTITY_UNUSABLE(path=path, reason="it holds no key"))
    try:
        return [age.x25519.Identity.from_str(key) for key in keys]
    except age.IdentityError as error:
        # Without the library's words: they could hold a part of the line.
        reason = "a line of it is no private key of age (AGE-SECRET-KEY-1…)"
        raise Refusal(IDENTITY_UNUSABLE(path=path, reason=reason)) from error


def sealing(recipients: tuple[str, ...]) -> Callable[[Generator[bytes]], Generator[bytes]]:
    """What encrypts pieces for these public keys: a function from pieces to pieces.

    Raises:
        Refusal: deploy.B100, B105.
    """
    age = _age()
    keys = [_recipient(age, text) for text in recipients]
    return lambda pieces: through(
        lambda reader, writer: age.encrypt_io(reader, writer, keys), pieces, name="age"
    )


def unsealing(conf: DeployConf, manifest: Manifest) -> Callable[[Generator[bytes]], Generator[bytes]]:
    """What decrypts the pieces of this backup's files: a function from pieces to pieces, which raises
    DoesNotDecrypt.

    Raises:
        Refusal: as `require_readable`.
    """
    require_readable(conf, manifest)
    age = _age()
    return _unsealing_with(age, _identities(conf, tuple(manifest.encryption.get("recipients", ()))))


def _unsealing_with(age: Any, keys: list[Any]) -> Callable[[Generator[bytes]], Generator[bytes]]:
    def decrypt(reader: Reader, writer: Writer) -> None:
        try:
            age.decrypt_io(reader, writer, keys)
        except (age.DecryptError, OSError) as error:
            if reader.error is not None:  # the bucket's trouble says nothing of what is stored
                raise
            raise DoesNotDecrypt(str(error) or type(error).__name__) from error

    return lambda pieces: through(decrypt, pieces, name="age")
