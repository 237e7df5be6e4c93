"""The tables of the ledger, as steps from one schema to the next."""

from __future__ import annotations

SUM_COLUMNS = (
    *("n", "cost_n", "cost_nusd", "saved_n", "saved_nusd", "usage_n"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("latency_n", "latency_us", "ttft_n", "ttft_us", "overhead_n", "overhead_us"),
    *("routed_n", "routed_nusd"),
)
"""What a roll-up adds up; `x_n` counts the rows in which x is known."""

MIGRATIONS = (
    """
    CREATE TABLE kind (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL,
        outcome TEXT NOT NULL,
        cache TEXT,
        tier TEXT,
        model TEXT NOT NULL,
        model_served TEXT,
        deployment TEXT,
        provider TEXT,
        error_kind TEXT,
        attempts INTEGER NOT NULL,
        fell_back INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        user TEXT NOT NULL,
        workspace TEXT,
        client TEXT NOT NULL,
        tags TEXT NOT NULL
    );
    CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    CREATE TABLE request (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        at_us INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        session INTEGER,
        route INTEGER,
        tip INTEGER,
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        cached_tokens INTEGER,
        cache_write_tokens INTEGER,
        reasoning_tokens INTEGER,
        cost_nusd INTEGER,
        saved_nusd INTEGER,
        latency_us INTEGER,
        ttft_us INTEGER,
        overhead_us INTEGER
    );
    CREATE INDEX request_at ON request (at_us);
    CREATE INDEX request_kind ON request (kind, at_us);
    CREATE TABLE intent (request_id TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE kind ADD COLUMN main INTEGER;
    ALTER TABLE kind ADD COLUMN slice INTEGER;
    CREATE INDEX kind_new ON kind (id) WHERE main IS NULL;
    ALTER TABLE request ADD COLUMN similarity_ppm INTEGER;
    ALTER TABLE request ADD COLUMN confidence_ppm INTEGER;
    ALTER TABLE request ADD COLUMN price INTEGER;
    CREATE INDEX request_session ON request (session, at_us) WHERE session IS NOT NULL;
    CREATE TABLE rollup (
        level INTEGER NOT NULL,
        start INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        n INTEGER NOT NULL,
        cost_n INTEGER NOT NULL,
        cost_nusd INTEGER NOT NULL,
        saved_n INTEGER NOT NULL,
        saved_nusd INTEGER NOT NULL,
        usage_n INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        latency_n INTEGER NOT NULL,
        latency_us INTEGER NOT NULL,
        ttft_n INTEGER NOT NULL,
        ttft_us INTEGER NOT NULL,
        overhead_n INTEGER NOT NULL,
        overhead_us INTEGER NOT NULL,
        PRIMARY KEY (level, start, kind)
    ) WITHOUT ROWID;
    CREATE TABLE summary (
        level INTEGER NOT NULL,
        start INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        n INTEGER NOT NULL,
        cost_n INTEGER NOT NULL,
        cost_nusd INTEGER NOT NULL,
        saved_n INTEGER NOT NULL,
        saved_nusd INTEGER NOT NULL,
        usage_n INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        latency_n INTEGER NOT NULL,
        latency_us INTEGER NOT NULL,
        ttft_n INTEGER NOT NULL,
        ttft_us INTEGER NOT NULL,
        overhead_n INTEGER NOT NULL,
        overhead_us INTEGER NOT NULL,
        PRIMARY KEY (level, start, kind)
    ) WITHOUT ROWID;
    CREATE TABLE session_rollup (
        start INTEGER NOT NULL,
        session INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        n INTEGER NOT NULL,
        cost_n INTEGER NOT NULL,
        cost_nusd INTEGER NOT NULL,
        saved_n INTEGER NOT NULL,
        saved_nusd INTEGER NOT NULL,
        usage_n INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        latency_n INTEGER NOT NULL,
        latency_us INTEGER NOT NULL,
        ttft_n INTEGER NOT NULL,
        ttft_us INTEGER NOT NULL,
        overhead_n INTEGER NOT NULL,
        overhead_us INTEGER NOT NULL,
        PRIMARY KEY (start, session, kind)
    ) WITHOUT ROWID;
    CREATE TABLE histogram (
        level INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        start INTEGER NOT NULL,
        plain TEXT,
        streamed TEXT,
        ttft TEXT,
        overhead TEXT,
        PRIMARY KEY (level, kind, start)
    ) WITHOUT ROWID;
    CREATE TABLE rolled (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        watermark INTEGER NOT NULL,
        pruned_us INTEGER NOT NULL
    );
    INSERT INTO rolled VALUES (1, 0, 0);
    CREATE TABLE rolled_level (level INTEGER PRIMARY KEY, since INTEGER NOT NULL, until INTEGER NOT NULL);
    """,
    """
    ALTER TABLE request ADD COLUMN routed_nusd INTEGER;
    ALTER TABLE rollup ADD COLUMN routed_n INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollup ADD COLUMN routed_nusd INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE summary ADD COLUMN routed_n INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE summary ADD COLUMN routed_nusd INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session_rollup ADD COLUMN routed_n INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session_rollup ADD COLUMN routed_nusd INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE facet (
        dim INTEGER NOT NULL,
        level INTEGER NOT NULL,
        start INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        n INTEGER NOT NULL,
        cost_n INTEGER NOT NULL,
        cost_nusd INTEGER NOT NULL,
        saved_n INTEGER NOT NULL,
        saved_nusd INTEGER NOT NULL,
        usage_n INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        latency_n INTEGER NOT NULL,
        latency_us INTEGER NOT NULL,
        ttft_n INTEGER NOT NULL,
        ttft_us INTEGER NOT NULL,
        overhead_n INTEGER NOT NULL,
        overhead_us INTEGER NOT NULL,
        routed_n INTEGER NOT NULL,
        routed_nusd INTEGER NOT NULL,
        PRIMARY KEY (dim, level, start, kind)
    ) WITHOUT ROWID;
    CREATE TABLE facet_kind (
        kind INTEGER NOT NULL,
        dim INTEGER NOT NULL,
        made INTEGER NOT NULL,
        PRIMARY KEY (kind, dim)
    ) WITHOUT ROWID;
    CREATE TABLE facet_todo (dim INTEGER NOT NULL, level INTEGER NOT NULL);
    INSERT INTO facet_todo SELECT d.value, l.level
    FROM json_each('[1,2,3,4,5,6,7]') d CROSS JOIN rolled_level l WHERE l.level >= 7200;
    INSERT INTO facet_todo SELECT 0, level FROM rolled_level WHERE level >= 900;
    INSERT INTO facet_todo SELECT d.value, l.level FROM json_each('[8,9]') d CROSS JOIN rolled_level l;
    UPDATE kind SET main = NULL WHERE main > 0;
    CREATE TABLE baseline (price INTEGER PRIMARY KEY);
    INSERT INTO baseline SELECT DISTINCT price FROM request
    WHERE routed_nusd IS NOT NULL AND price IS NOT NULL AND id <= (SELECT watermark FROM rolled);
    """,
    """
    ALTER TABLE facet_todo ADD COLUMN done INTEGER NOT NULL DEFAULT 0;
    INSERT INTO facet_todo (dim, level) SELECT d.value, l.level
    FROM json_each('[20,21,22,24,28,30,31,32,34]') d CROSS JOIN rolled_level l WHERE l.level >= 900;
    INSERT INTO facet_todo (dim, level) SELECT d.value, l.level
    FROM json_each('[23,25,26,27,33,35,36,37]') d CROSS JOIN rolled_level l WHERE l.level >= 7200;
    INSERT INTO facet_todo (dim, level)
    SELECT d.value, l.level FROM json_each('[11,12,13,14,15,16]') d CROSS JOIN rolled_level l;
    ALTER TABLE rolled ADD COLUMN late INTEGER NOT NULL DEFAULT 0;
    UPDATE kind SET main = NULL WHERE main > 0;
    """,
    """
    CREATE TABLE content (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        at_us INTEGER NOT NULL,
        workspace TEXT,
        prompt BLOB NOT NULL,
        answer BLOB
    );
    ALTER TABLE request ADD COLUMN asked INTEGER;
    ALTER TABLE request ADD COLUMN traceparent TEXT;
    """,
)
"""Step n takes a file of schema n to schema n + 1; a step that was released is never changed.

A row of `rollup` is what the requests of one kind that began within `level` seconds from `start` (seconds since the
epoch) add up to. Many kinds differ only in who asked, so `summary` has the same by `kind.main` and `histogram` is by
`kind.slice`: kinds that are made of other kinds, with what does not matter there left blank. `facet` has the long
roll-ups once more for each set of dimensions (`dim`) that a question may ask by, so that it reads no other kinds;
`facet_kind` names the made kind of each, `facet_todo` what an older file still has to make, from which start on.
`baseline` has the prices that name what routing is compared with. `rolled.watermark` is the last row that is in all of
them; a row counts from the roll-ups or, beyond it, by itself. `rolled.late` rises when a closed roll-up changed.
"""
