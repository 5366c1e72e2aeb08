-- Requests, their attempts and results, the queue, and the record of what happened.

CREATE TABLE eve.requests (
    org_id                uuid NOT NULL REFERENCES eve.organizations (id),
    id                    uuid NOT NULL,
    -- What was asked; never changed.
    user_id               uuid NOT NULL,
    project_id            uuid,
    parent_id             uuid,
    replay_of             uuid,
    worker_type           text NOT NULL,
    title                 text NOT NULL,
    prompt                text NOT NULL,
    repository            text,
    branch                text,
    context               jsonb NOT NULL DEFAULT '{}',
    config                jsonb NOT NULL DEFAULT '{}',
    metadata              jsonb NOT NULL DEFAULT '{}',
    reply_to              jsonb,
    harness               text,
    model                 text,
    timeout_seconds       int CHECK (timeout_seconds > 0),
    max_attempts          int NOT NULL CHECK (max_attempts BETWEEN 1 AND 100),
    on_dependency_failure text NOT NULL DEFAULT 'fail' CHECK (on_dependency_failure IN ('fail', 'proceed')),
    created_at            timestamptz NOT NULL DEFAULT now(),
    -- Where it stands.
    priority              smallint NOT NULL CHECK (priority BETWEEN 1 AND 4),
    state                 text NOT NULL CHECK (state IN ('blocked', 'held', 'pending', 'claimed', 'processing',
                              'waiting', 'paused', 'completed', 'failed', 'cancelled')),
    reason                text,
    run_at                timestamptz,
    attempt_id            uuid,
    fence                 bigint NOT NULL DEFAULT 0,
    burned                smallint NOT NULL DEFAULT 0,
    crashes               smallint NOT NULL DEFAULT 0,
    stop                  text CHECK (stop IN ('cancel', 'pause')),
    last_error            text,
    started_at            timestamptz,
    finished_at           timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES eve.members (org_id, user_id),
    FOREIGN KEY (org_id, worker_type) REFERENCES eve.worker_types (org_id, name),
    FOREIGN KEY (org_id, project_id) REFERENCES eve.projects (org_id, id),
    FOREIGN KEY (org_id, parent_id) REFERENCES eve.requests (org_id, id),
    -- A state and what is true in it.
    CHECK ((state = 'pending') = (run_at IS NOT NULL)),
    CHECK ((state IN ('claimed', 'processing')) = (attempt_id IS NOT NULL)),
    CHECK ((state IN ('held', 'waiting', 'failed')) = (reason IS NOT NULL)),
    CHECK ((state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 75);
-- No index holds a column that a claim or a completion changes, so that those updates stay in the page (HOT).
CREATE INDEX requests_parent ON eve.requests (org_id, parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE eve.request_dependencies (
    org_id        uuid NOT NULL,
    request_id    uuid NOT NULL,
    depends_on_id uuid NOT NULL,
    PRIMARY KEY (org_id, request_id, depends_on_id),
    FOREIGN KEY (org_id, request_id) REFERENCES eve.requests (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, depends_on_id) REFERENCES eve.requests (org_id, id) ON DELETE CASCADE,
    CHECK (request_id <> depends_on_id)
);
CREATE INDEX request_dependencies_reverse ON eve.request_dependencies (org_id, depends_on_id);

-- Exactly the pending requests, narrow, deleted on claim: a claim never reads what it may not take.
CREATE TABLE eve.queue (
    request_id  uuid PRIMARY KEY,
    org_id      uuid NOT NULL,
    worker_type text NOT NULL,
    priority    smallint NOT NULL,
    run_at      timestamptz NOT NULL,
    FOREIGN KEY (org_id, request_id) REFERENCES eve.requests (org_id, id) ON DELETE CASCADE
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_claim ON eve.queue (worker_type, priority, run_at, request_id);

-- Exactly the blocked requests, so that looking for some that are free reads nothing else.
CREATE TABLE eve.blocked (
    request_id uuid PRIMARY KEY,
    org_id     uuid NOT NULL,
    FOREIGN KEY (org_id, request_id) REFERENCES eve.requests (org_id, id) ON DELETE CASCADE
);

CREATE TABLE eve.workers (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    version      text NOT NULL,
    worker_types text[] NOT NULL,
    harnesses    jsonb NOT NULL DEFAULT '[]',
    slots        int NOT NULL CHECK (slots > 0),
    state        text NOT NULL CHECK (state IN ('active', 'draining', 'stopped')),
    started_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE eve.workers IS 'Worker processes. They serve every organization, so there is no org_id here.';

CREATE TABLE eve.attempts (
    org_id             uuid NOT NULL,
    id                 uuid NOT NULL,
    request_id         uuid NOT NULL,
    number             int NOT NULL,
    fence              bigint NOT NULL,
    worker_id          uuid NOT NULL REFERENCES eve.workers (id),
    state              text NOT NULL CHECK (state IN ('claimed', 'running', 'settled', 'released', 'expired')),
    harness            text,
    model              text,
    session_id         text,
    outcome            text,
    failure_class      text,
    message            text,
    exit_code          int,
    dropped_bytes      bigint NOT NULL DEFAULT 0,
    input_tokens       bigint NOT NULL DEFAULT 0,
    output_tokens      bigint NOT NULL DEFAULT 0,
    cache_read_tokens  bigint NOT NULL DEFAULT 0,
    cache_write_tokens bigint NOT NULL DEFAULT 0,
    cost_usd           numeric(20, 9),
    cost_basis         text,
    claimed_at         timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    ended_at           timestamptz,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, request_id, fence),
    FOREIGN KEY (org_id, request_id) REFERENCES eve.requests (org_id, id) ON DELETE CASCADE
) WITH (fillfactor = 75);

-- One row per live attempt and no more: heartbeats touch nothing wider, and the reaper reads nothing longer.
CREATE TABLE eve.leases (
    attempt_id uuid PRIMARY KEY,
    org_id     uuid NOT NULL,
    request_id uuid NOT NULL UNIQUE,
    worker_id  uuid NOT NULL REFERENCES eve.workers (id),
    fence      bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    stop       text CHECK (stop IN ('cancel', 'pause')),
    FOREIGN KEY (org_id, attempt_id) REFERENCES eve.attempts (org_id, id) ON DELETE CASCADE
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE eve.results (
    org_id             uuid NOT NULL,
    request_id         uuid NOT NULL,
    attempt_id         uuid,
    status             text NOT NULL CHECK (status IN ('success', 'error', 'partial', 'timeout', 'needs_input', 'cancelled')),
    output             jsonb NOT NULL DEFAULT 'null',
    summary            text NOT NULL DEFAULT '',
    branch             text,
    commit_id          text,
    base_commit_id     text,
    pull_request       text,
    files_changed      int NOT NULL DEFAULT 0,
    patch              text,
    duration_ms        bigint NOT NULL DEFAULT 0,
    model              text,
    input_tokens       bigint NOT NULL DEFAULT 0,
    output_tokens      bigint NOT NULL DEFAULT 0,
    cache_read_tokens  bigint NOT NULL DEFAULT 0,
    cache_write_tokens bigint NOT NULL DEFAULT 0,
    cost_usd           numeric(20, 9),
    cost_basis         text,
    error              text,
    error_code         text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, request_id),
    FOREIGN KEY (org_id, request_id) REFERENCES eve.requests (org_id, id) ON DELETE CASCADE
);

-- One stream per organization. A reader goes by (xid, seq) and stops before the oldest transaction that is still
-- open, so a commit that comes late is never skipped, and no writer waits for another to draw a number.
CREATE TABLE eve.events (
    org_id     uuid NOT NULL REFERENCES eve.organizations (id),
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq        bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    kind       text NOT NULL,
    request_id uuid,
    attempt_id uuid,
    actor      text NOT NULL,
    payload    jsonb NOT NULL DEFAULT '{}',
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, xid, seq)
);
CREATE INDEX events_age ON eve.events USING brin (at);

CREATE TABLE eve.attempt_events (
    org_id     uuid NOT NULL,
    attempt_id uuid NOT NULL,
    seq        bigint NOT NULL,
    at         timestamptz NOT NULL,
    version    smallint NOT NULL,
    event      jsonb NOT NULL,
    PRIMARY KEY (attempt_id, seq),
    FOREIGN KEY (org_id, attempt_id) REFERENCES eve.attempts (org_id, id) ON DELETE CASCADE
);

CREATE TABLE eve.idempotency_keys (
    org_id      uuid NOT NULL REFERENCES eve.organizations (id),
    key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL,
    request_id  uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, key),
    FOREIGN KEY (org_id, request_id) REFERENCES eve.requests (org_id, id) ON DELETE CASCADE
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['requests', 'request_dependencies', 'queue', 'blocked', 'attempts', 'leases', 'results', 'events',
                                'attempt_events', 'idempotency_keys']
    LOOP
        EXECUTE format('ALTER TABLE eve.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE eve.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON eve.%I TO eve_service USING (org_id = eve.current_org())', name);
        EXECUTE format('CREATE POLICY platform ON eve.%I TO eve_platform USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON eve.%I TO eve_service, eve_platform', name);
    END LOOP;
END
$$;
-- What happened stays as it was; only retention, which is the platform's, removes it.
REVOKE UPDATE, DELETE ON eve.events, eve.attempt_events FROM eve_service;
REVOKE UPDATE ON eve.events, eve.attempt_events FROM eve_platform;
GRANT SELECT ON eve.workers TO eve_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.workers TO eve_platform;
