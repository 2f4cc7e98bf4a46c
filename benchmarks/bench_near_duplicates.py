"""Near-duplicates: NumPy over the stored bytes, or pgvector in Postgres?

Question: which finds, for each newly judged attempt of four pictures, the nearest earlier picture of its batch sooner,
and what does it cost beside?
Hypothesis: the comparison is one small matrix product, so fetching only what is new and multiplying in the worker beats
a search in the database, whose index knows no batch and has to be kept up at every insert.
Control: the same vectors, the same Postgres (the embedded one, which has pgvector), the same answers; pgvector exactly
(a scan of the batch) and with its HNSW index over the whole table. Beside it the worst case of the worker's own
comparison: a first look at a batch of which every picture is like every other.
Run: python benchmarks/bench_near_duplicates.py [PICTURES]; appends a line to results/near_duplicates.jsonl.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from uuid import UUID

import numpy as np
import psycopg

from domain.ids import AssetId
from pipeline.process.near_duplicate_search import Seen, too_alike
from runtime.embedded.stack import throwaway

SIDE = 768
ALL_ALIKE = 3000
LOOKS = 20
BURN_IN = 3
RESULTS = Path(__file__).parent / "results" / "near_duplicates.jsonl"


def timed(look: Callable[[int], object]) -> float:
    """Median seconds of a look, after a burn-in."""
    times = []
    for number in range(BURN_IN + LOOKS):
        begun = time.perf_counter()
        look(number)
        times.append(time.perf_counter() - begun)
    return median(times[BURN_IN:])


def fill(connection: psycopg.Connection, vectors: np.ndarray) -> None:
    connection.execute("CREATE TABLE kept (id INT PRIMARY KEY, batch INT, vector BYTEA)")
    with connection.cursor() as cursor, cursor.copy("COPY kept FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "int4", "bytea"])
        for number, vector in enumerate(vectors):
            copy.write_row((number, number % 2, vector.tobytes()))
    connection.execute("CREATE INDEX ON kept (batch, id)")
    connection.execute("ANALYZE kept")


def with_numpy(connection: psycopg.Connection, total: int) -> dict[str, float]:
    begun = time.perf_counter()
    rows = connection.execute("SELECT vector FROM kept WHERE batch = 0 ORDER BY id").fetchall()
    known = np.stack([np.frombuffer(row[0], "<f4") for row in rows])
    first = time.perf_counter() - begun

    def look(number: int) -> object:
        start = total - 8 * (number + 1)
        new = connection.execute(
            "SELECT vector FROM kept WHERE batch = 0 AND id >= %s ORDER BY id LIMIT 4", (start,)
        ).fetchall()
        cosines = np.stack([np.frombuffer(row[0], "<f4") for row in new]) @ known.T
        return cosines.argmax(axis=1)

    return {"numpy_first_load_s": first, "numpy_look_s": timed(look)}


def with_pgvector(connection: psycopg.Connection, vectors: np.ndarray) -> dict[str, float]:
    connection.execute("CREATE EXTENSION vector")
    connection.execute(f"CREATE TABLE indexed (id INT PRIMARY KEY, batch INT, vector VECTOR({SIDE}))")
    with connection.cursor() as cursor, cursor.copy("COPY indexed FROM STDIN") as copy:
        for number, vector in enumerate(vectors):
            copy.write_row((number, number % 2, str(vector.tolist())))
    connection.execute("CREATE INDEX ON indexed (batch)")
    connection.execute("ANALYZE indexed")
    nearest = "SELECT id FROM indexed WHERE batch = 0 AND id <> %s ORDER BY vector <=> %s LIMIT 1"

    def look(number: int) -> object:
        found = []
        for one in range(4):
            at = len(vectors) - 8 * (number + 1) + 2 * one
            found.append(connection.execute(nearest, (at, str(vectors[at].tolist()))).fetchone())
        return found

    exact = timed(look)
    begun = time.perf_counter()
    connection.execute("SET maintenance_work_mem = '512MB'")
    connection.execute("CREATE INDEX ON indexed USING hnsw (vector vector_cosine_ops)")
    built = time.perf_counter() - begun
    return {"pgvector_exact_look_s": exact, "hnsw_build_s": built, "hnsw_look_s": timed(look)}


def all_alike() -> dict[str, float]:
    """Seconds of a first look, and of a later one at four new pictures, by the worker's own comparison."""
    seen = Seen(
        vectors=np.full((ALL_ALIKE, SIDE), SIDE**-0.5, np.float32),
        assets=[AssetId(UUID(int=number)) for number in range(ALL_ALIKE)],
        generations=[number // 4 for number in range(ALL_ALIKE)],
    )
    begun = time.perf_counter()
    too_alike(seen, 0, least=0.98)
    first = time.perf_counter() - begun
    return {
        "all_alike_first_look_s": first,
        "all_alike_look_s": timed(lambda _: too_alike(seen, ALL_ALIKE - 4, least=0.98)),
    }


def main() -> None:
    pictures = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    draw = np.random.default_rng(1)
    # Characters crowd into a narrow cone, as pictures of one character do.
    vectors = draw.normal(size=(pictures, SIDE)) * 0.5 + draw.normal(size=SIDE)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")
    with throwaway() as servers, psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        fill(connection, vectors)
        record = {
            "pictures": pictures,
            "in_the_batch": pictures // 2,
            "dimensions": SIDE,
            **with_numpy(connection, pictures),
            **with_pgvector(connection, vectors),
            "all_alike": ALL_ALIKE,
            **all_alike(),
        }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    record |= {"commit": commit.stdout.strip(), **machine}
    record = {name: round(value, 5) if isinstance(value, float) else value for name, value in record.items()}
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
