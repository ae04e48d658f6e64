"""Models with files in every way that Django knows, outside the registry of apps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from django.db import models
from django.test.utils import isolate_apps

# What `create_model` of a schema editor would make, on any engine.
TABLES = """
CREATE TABLE doc_document (id int PRIMARY KEY, file varchar(100) NOT NULL, scan varchar(100));
CREATE TABLE doc_photo (document_ptr_id int PRIMARY KEY, "Odd picture" varchar(200) NOT NULL);
CREATE TABLE doc_elsewhere (id int PRIMARY KEY, file varchar(100) NOT NULL);
CREATE TABLE doc_plain (id int PRIMARY KEY, object_name varchar(100) NOT NULL);
"""


def make(main: Storage, nested: Storage, other: Any = None) -> list[type[models.Model]]:
    """Document (main storage, and a scan), Photo (inherits it; nested storage), and special ones."""
    with isolate_apps("optifit"):

        class Document(models.Model):
            file = models.FileField(upload_to=lambda instance, name: f"by/{instance.pk}/{name}", storage=main)
            scan = models.ImageField(null=True, storage=lambda: main)

            class Meta:
                app_label, db_table = "optifit", "doc_document"

        class Photo(Document):
            picture = models.FileField(storage=nested, db_column="Odd picture", max_length=200)

            class Meta:
                app_label, db_table = "optifit", "doc_photo"

        class PhotoProxy(Photo):
            class Meta:
                app_label, proxy = "optifit", True

        class Elsewhere(models.Model):
            file = models.FileField(storage=other or InMemoryStorage())

            class Meta:
                app_label, db_table = "optifit", "doc_elsewhere"

        class Plain(models.Model):
            object_name = models.CharField(max_length=100)

            class Meta:
                app_label, db_table = "optifit", "doc_plain"

        class Unmigrated(models.Model):
            file = models.FileField(storage=main)

            class Meta:
                app_label, db_table = "optifit", "doc_unmigrated"

    return [Document, Photo, PhotoProxy, Elsewhere, Plain, Unmigrated]


def folder_storages(root: Path) -> tuple[Storage, Storage]:
    return FileSystemStorage(location=root), FileSystemStorage(location=root / "sub" / "folder")
