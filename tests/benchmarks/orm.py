"""The usual solution: SQLAlchemy's ORM with one commit for each row."""

from __future__ import annotations

import io
import time
from datetime import datetime

import fastavro
import sqlalchemy as sa
from sqlalchemy.orm import Session, declarative_base

from service.core.backups.format import avro_schema
from service.core.settings import Settings
from service.core.tables import by_path

Base = declarative_base()
Hire = type(
    "Hire",
    (Base,),
    {
        "__tablename__": "hired_employees",
        "id": sa.Column(sa.Integer, primary_key=True),
        "name": sa.Column(sa.String(255)),
        "datetime": sa.Column(sa.DateTime),
        "department_id": sa.Column(sa.Integer),
        "job_id": sa.Column(sa.Integer),
    },
)


def engine_of(settings: Settings) -> sa.Engine:
    """An SQLAlchemy engine for the database."""
    address = sa.URL.create(
        "mysql+pymysql",
        settings.mysql_user,
        settings.mysql_password,
        settings.mysql_host,
        settings.mysql_port,
        settings.mysql_database,
    )
    return sa.create_engine(address)


def insert_one_by_one(settings: Settings, rows: list[tuple[str, str, int, int]]) -> float:
    """Insert rows with one commit for each; rows per second."""
    engine = engine_of(settings)
    with Session(engine) as session:
        session.execute(sa.text("SELECT 1"))
        started = time.perf_counter()
        for name, moment, department, job in rows:
            session.add(
                Hire(
                    name=name,
                    datetime=datetime.fromisoformat(moment),
                    department_id=department,
                    job_id=job,
                )
            )
            session.commit()
        seconds = time.perf_counter() - started
    engine.dispose()
    return len(rows) / seconds


def back_up(settings: Settings, number: int) -> float:
    """Read rows as objects and write them as Avro; the seconds."""
    engine = engine_of(settings)
    names = ("id", "name", "datetime", "department_id", "job_id")
    started = time.perf_counter()
    with Session(engine) as session:
        hires = session.query(Hire).limit(number).all()
        records = [{name: getattr(hire, name) for name in names} for hire in hires]
        fastavro.writer(io.BytesIO(), avro_schema.schema(by_path("employees")), records, "deflate")
    seconds = time.perf_counter() - started
    engine.dispose()
    return seconds
