-- Requests, where each of them stands, and the record of what happened.
--
-- What was asked is written once and never changed. Where a request stands is the table that holds its row: `queue`
-- (ready), `parked` (blocked, held, waiting, paused, or due later), `leases` (in a worker's hands) or `results`
-- (finished). Exactly one of them does. To change state is to delete there and insert here, in one transaction, so the
-- row that is deleted is also the lock, and nothing wide is ever rewritten.
--
-- The tables that every request passes through have no foreign keys: a check costs more than the row, locks what it
-- points at, and would keep partitions from being dropped. Nor have they checks, which are compiled anew by every statement;
-- their words and numbers are those of enums, and reading one that is none is an error. What they refer to is copied by the same statement from rows
-- that it reads under row-level security, so that a row cannot name another tenant's.

-- Where requests queue up: who does it, for whom. Few rows, made when the first request needs one, never changed.
CREATE TABLE eve.lanes (
    id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id      uuid NOT NULL,
    worker_type text NOT NULL,
    project_id  uuid,
    -- The harness that the request or its worker type names; empty when any will do.
    service     text NOT NULL DEFAULT '',
    UNIQUE NULLS NOT DISTINCT (org_id, worker_type, project_id, service),
    FOREIGN KEY (org_id, worker_type) REFERENCES eve.worker_types (org_id, name),
    FOREIGN KEY (org_id, project_id) REFERENCES eve.projects (org_id, id)
);

-- What was asked. Ids are UUIDv7, so partitions by id are partitions by time of creation.
CREATE TABLE eve.requests (
    org_id                uuid NOT NULL,
    id                    uuid NOT NULL,
    user_id               uuid NOT NULL,
    parent_id             uuid,
    replay_of             uuid,
    created_at            timestamptz NOT NULL DEFAULT now(),
    run_at                timestamptz,
    lane_id               int NOT NULL,
    timeout_seconds       int,
    max_attempts          smallint NOT NULL,
    priority              smallint NOT NULL,
    on_dependency_failure text NOT NULL DEFAULT 'fail',
    title                 text NOT NULL,
    prompt                text NOT NULL,
    repository            text,
    branch                text,
    harness               text,
    model                 text,
    context               jsonb NOT NULL DEFAULT '{}',
    config                jsonb NOT NULL DEFAULT '{}',
    metadata              jsonb NOT NULL DEFAULT '{}',
    reply_to              jsonb,
    blocked_by            uuid[],
    PRIMARY KEY (org_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX requests_parent ON eve.requests (org_id, parent_id) WHERE parent_id IS NOT NULL;

-- Ready to be claimed, and nothing else is in here: a claim never reads what it may not take. Rows of one lane and
-- priority go out in the order of their ids, and a claim may start behind the last id it took, so that rows which
-- are deleted but still visible to an old snapshot are not walked over again.
CREATE TABLE eve.queue (
    request_id   uuid NOT NULL,
    org_id       uuid NOT NULL,
    parent_id    uuid,
    fence        bigint NOT NULL DEFAULT 0,
    lane_id      int NOT NULL,
    priority     smallint NOT NULL,
    burned       smallint NOT NULL DEFAULT 0,
    crashes      smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL,
    PRIMARY KEY (lane_id, priority, request_id)
) WITH (autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_threshold = 50000, autovacuum_analyze_scale_factor = 0);

-- Not finished, not ready, in nobody's hands. `run_at` is when it becomes ready by itself.
CREATE TABLE eve.parked (
    request_id            uuid PRIMARY KEY,
    org_id                uuid NOT NULL,
    parent_id             uuid,
    fence                 bigint NOT NULL DEFAULT 0,
    run_at                timestamptz,
    lane_id               int NOT NULL,
    -- What it still waits for: dependencies when blocked, children when waiting for them.
    open                  int NOT NULL DEFAULT 0,
    priority              smallint NOT NULL,
    burned                smallint NOT NULL DEFAULT 0,
    crashes               smallint NOT NULL DEFAULT 0,
    max_attempts          smallint NOT NULL,
    state                 text NOT NULL CHECK (state IN ('blocked', 'held', 'pending', 'waiting', 'paused')),
    reason                text,
    on_dependency_failure text NOT NULL DEFAULT 'fail',
    CHECK (state <> 'pending' OR run_at IS NOT NULL),
    CHECK ((state IN ('held', 'waiting')) = (reason IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX parked_due ON eve.parked (run_at) WHERE run_at IS NOT NULL;
CREATE INDEX parked_list ON eve.parked (org_id, request_id);

-- In a worker's hands. The key is the promise: a request has at most one lease, hence at most one live attempt. How
-- long it lasts is the worker's (`workers.lease_until`): a heartbeat writes one row, however many attempts run.
CREATE TABLE eve.leases (
    request_id   uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    attempt_id   uuid NOT NULL,
    worker_id    uuid NOT NULL,
    parent_id    uuid,
    fence        bigint NOT NULL,
    claimed_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    lane_id      int NOT NULL,
    priority     smallint NOT NULL,
    burned       smallint NOT NULL,
    crashes      smallint NOT NULL,
    max_attempts smallint NOT NULL,
    stop         text,
    harness      text,
    session_id   text
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_threshold = 50000, autovacuum_analyze_scale_factor = 0);

-- Finished. The key keeps a second result out. An attempt that succeeded is recorded here and nowhere else, with
-- `worker_id` and what follows it: the two rows would say the same.
CREATE TABLE eve.results (
    request_id         uuid NOT NULL PRIMARY KEY,
    org_id             uuid NOT NULL,
    attempt_id         uuid,
    fence              bigint NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT now(),
    worker_id          uuid,
    claimed_at         timestamptz,
    started_at         timestamptz,
    dropped_bytes      bigint,
    duration_ms        bigint,
    input_tokens       bigint,
    output_tokens      bigint,
    cache_read_tokens  bigint,
    cache_write_tokens bigint,
    exit_code          int,
    files_changed      int,
    burned             smallint NOT NULL DEFAULT 0,
    state              text NOT NULL,
    status             text NOT NULL,
    harness            text,
    session_id         text,
    summary            text NOT NULL DEFAULT '',
    output             jsonb,
    branch             text,
    commit_id          text,
    base_commit_id     text,
    pull_request       text,
    patch              text,
    model              text,
    cost_usd           numeric(20, 9),
    cost_basis         text,
    error              text,
    error_code         text
) PARTITION BY RANGE (request_id);
-- The few that somebody looks for.
CREATE INDEX results_unhappy ON eve.results (org_id, request_id) WHERE state <> 'completed';

-- Attempts that are over and did not succeed; a live one is a lease, one that succeeded is in `results`.
CREATE TABLE eve.attempts (
    org_id             uuid NOT NULL,
    request_id         uuid NOT NULL,
    fence              bigint NOT NULL,
    id                 uuid NOT NULL,
    worker_id          uuid NOT NULL,
    claimed_at         timestamptz NOT NULL,
    started_at         timestamptz,
    ended_at           timestamptz NOT NULL DEFAULT now(),
    dropped_bytes      bigint,
    input_tokens       bigint,
    output_tokens      bigint,
    cache_read_tokens  bigint,
    cache_write_tokens bigint,
    exit_code          int,
    state              text NOT NULL,
    outcome            text,
    harness            text,
    model              text,
    session_id         text,
    failure_class      text,
    message            text,
    cost_usd           numeric(20, 9),
    cost_basis         text,
    PRIMARY KEY (request_id, fence)
) PARTITION BY RANGE (request_id);

-- Every attempt that is over.
CREATE VIEW eve.attempt_view WITH (security_invoker = true) AS
SELECT org_id, request_id, fence, id, worker_id, claimed_at, started_at, ended_at, dropped_bytes, input_tokens,
       output_tokens, cache_read_tokens, cache_write_tokens, exit_code, state, outcome, harness, model, session_id,
       failure_class, message, cost_usd, cost_basis
FROM eve.attempts
UNION ALL
SELECT org_id, request_id, fence, attempt_id, worker_id, claimed_at, started_at, created_at, dropped_bytes, input_tokens,
       output_tokens, cache_read_tokens, cache_write_tokens, exit_code, 'settled', 'succeeded', harness, model,
       session_id, NULL, NULL, cost_usd, cost_basis
FROM eve.results WHERE worker_id IS NOT NULL;
GRANT SELECT ON eve.attempt_view TO eve_service, eve_platform;

-- Dependencies that are not finished; the row goes when they are. What a request was made to wait for stays in
-- `requests.blocked_by`.
CREATE TABLE eve.dependencies (
    depends_on_id uuid NOT NULL,
    request_id    uuid NOT NULL,
    org_id        uuid NOT NULL,
    PRIMARY KEY (depends_on_id, request_id),
    CHECK (request_id <> depends_on_id)
);

-- Finished requests with more dependants than one transaction frees; a service does the rest.
CREATE TABLE eve.releases (
    request_id uuid PRIMARY KEY,
    org_id     uuid NOT NULL,
    failed     boolean NOT NULL
);

CREATE TABLE eve.workers (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    version      text NOT NULL,
    worker_types text[] NOT NULL,
    harnesses    jsonb NOT NULL DEFAULT '[]',
    slots        int NOT NULL CHECK (slots > 0),
    -- The account that its agents are signed in with, where a limit shall count by it.
    account      text,
    state        text NOT NULL CHECK (state IN ('active', 'draining', 'stopped', 'lost')),
    started_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    -- Until then nobody else may have what it holds.
    lease_until  timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE eve.workers IS 'Worker processes. They serve every organization, so there is no org_id here.';

-- One stream per organization. A reader goes by (xid, seq) and stops before the oldest transaction that is still
-- open, so a commit that comes late is never skipped, and no writer waits for another to draw a number. What a
-- transaction does alike to many requests is a row for up to 48 of them, its arrays side by side.
CREATE TABLE eve.events (
    org_id      uuid NOT NULL,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq         bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL DEFAULT now(),
    kind        text NOT NULL,
    actor       text NOT NULL,
    request_ids uuid[],
    attempt_ids uuid[],
    lane_ids    int[],
    payload     jsonb
) PARTITION BY RANGE (at);
CREATE INDEX events_stream ON eve.events (org_id, xid, seq);

-- Each event by itself. The factor is above the most that a row holds, so the numbers of two rows never meet.
CREATE VIEW eve.event_view WITH (security_invoker = true) AS
SELECT e.org_id, e.xid, e.seq AS row_seq, e.seq * 64 + coalesce(n.ordinality - 1, 0) AS seq, e.at, e.kind, e.actor,
       n.request_id, n.attempt_id, n.lane_id, e.payload
FROM eve.events e
LEFT JOIN LATERAL unnest(e.request_ids, e.attempt_ids, e.lane_ids)
    WITH ORDINALITY AS n (request_id, attempt_id, lane_id, ordinality) ON true;
GRANT SELECT ON eve.event_view TO eve_service, eve_platform;

CREATE TABLE eve.attempt_events (
    org_id     uuid NOT NULL,
    attempt_id uuid NOT NULL,
    seq        bigint NOT NULL,
    at         timestamptz NOT NULL,
    version    smallint NOT NULL,
    event      jsonb NOT NULL,
    PRIMARY KEY (attempt_id, seq)
) PARTITION BY RANGE (attempt_id);

CREATE TABLE eve.idempotency_keys (
    org_id      uuid NOT NULL REFERENCES eve.organizations (id),
    key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL,
    request_id  uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, key)
);
CREATE INDEX idempotency_keys_age ON eve.idempotency_keys USING brin (created_at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['lanes', 'requests', 'queue', 'parked', 'leases', 'results', 'attempts', 'dependencies', 'releases',
                                'events', 'attempt_events', 'idempotency_keys']
    LOOP
        EXECUTE format('ALTER TABLE eve.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE eve.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON eve.%I TO eve_service USING (org_id = (SELECT eve.current_org()))
                            WITH CHECK (org_id = eve.current_org())', name);
        EXECUTE format('CREATE POLICY platform ON eve.%I TO eve_platform USING (true) WITH CHECK (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON eve.%I TO eve_service, eve_platform', name);
    END LOOP;
END
$$;
-- What was asked and what happened stay as they were; retention drops whole partitions.
REVOKE UPDATE, DELETE ON eve.requests, eve.attempts, eve.events, eve.attempt_events FROM eve_service, eve_platform;
REVOKE UPDATE, DELETE ON eve.lanes FROM eve_service, eve_platform;
REVOKE DELETE ON eve.results FROM eve_service, eve_platform;
GRANT SELECT ON eve.workers TO eve_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.workers TO eve_platform;

-- A request with where it stands. One snapshot sees it in exactly one place.
CREATE VIEW eve.request_view WITH (security_invoker = true) AS
SELECT r.org_id, r.id, r.user_id, r.parent_id, r.replay_of, r.created_at, r.run_at AS asked_run_at, r.lane_id,
       r.timeout_seconds, r.max_attempts, r.on_dependency_failure, r.title, r.prompt, r.repository, r.branch, r.harness,
       r.model, r.context, r.config, r.metadata, r.reply_to, r.blocked_by, l.worker_type, l.project_id,
       CASE WHEN z.request_id IS NOT NULL THEN z.state
            WHEN e.request_id IS NOT NULL THEN CASE WHEN e.started_at IS NULL THEN 'claimed' ELSE 'processing' END
            WHEN q.request_id IS NOT NULL THEN 'pending'
            ELSE p.state END AS state,
       coalesce(z.error_code, p.reason) AS reason,
       CASE WHEN q.request_id IS NOT NULL THEN coalesce(r.run_at, r.created_at) ELSE p.run_at END AS run_at,
       coalesce(q.priority, e.priority, p.priority, r.priority) AS priority,
       coalesce(z.fence, e.fence, q.fence, p.fence) AS fence,
       coalesce(z.burned, e.burned, q.burned, p.burned) AS burned,
       e.attempt_id, e.stop, e.started_at AS lease_started_at, z.created_at AS finished_at, z.error AS result_error
FROM eve.requests r
JOIN eve.lanes l ON l.id = r.lane_id
LEFT JOIN eve.results z ON z.request_id = r.id
LEFT JOIN eve.leases e ON e.request_id = r.id
LEFT JOIN eve.queue q ON q.lane_id = r.lane_id AND q.priority = ANY ('{1,2,3,4}'::smallint[]) AND q.request_id = r.id
LEFT JOIN eve.parked p ON p.request_id = r.id;
GRANT SELECT ON eve.request_view TO eve_service, eve_platform;

-- Partitions. The roles that serve own nothing, so they make and drop partitions through these two functions.

-- The smallest UUIDv7 of a moment.
CREATE FUNCTION eve.uuid_at(at timestamptz) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid;

-- Makes the partition of a table for a period, if it is not there. The name tells the period.
CREATE FUNCTION eve.partition_create(parent text, lower_at timestamptz, upper_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := parent || '_' || to_char(lower_at AT TIME ZONE 'UTC', 'YYYYMMDDHH24') || '_' || to_char(upper_at AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
    bounds text;
BEGIN
    IF parent NOT IN ('requests', 'results', 'attempts', 'attempt_events', 'events') THEN
        RAISE EXCEPTION 'no such partitioned table: %', parent;
    END IF;
    PERFORM pg_advisory_xact_lock(7310422);
    IF to_regclass('eve.' || quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF parent = 'events' THEN
        bounds := format('FROM (%L) TO (%L)', lower_at, upper_at);
    ELSE
        bounds := format('FROM (%L) TO (%L)', eve.uuid_at(lower_at), eve.uuid_at(upper_at));
    END IF;
    EXECUTE format('CREATE TABLE eve.%I PARTITION OF eve.%I FOR VALUES %s', name, parent, bounds);
    EXECUTE format('ALTER TABLE eve.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE eve.%I FORCE ROW LEVEL SECURITY', name);
    RETURN true;
END
$$;

-- Drops a partition by its name, if it has one.
CREATE FUNCTION eve.partition_drop(parent text, name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310422);
    IF parent NOT IN ('requests', 'results', 'attempts', 'attempt_events', 'events')
       OR name !~ ('^' || parent || '_[0-9]{10}_[0-9]{10}$')
       OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('eve.' || quote_ident(name))
                                                AND inhparent = to_regclass('eve.' || quote_ident(parent))) THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE eve.%I', name);
    RETURN true;
END
$$;
REVOKE EXECUTE ON FUNCTION eve.partition_create(text, timestamptz, timestamptz), eve.partition_drop(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION eve.partition_create(text, timestamptz, timestamptz), eve.partition_drop(text, text) TO eve_platform;

-- What falls into no partition is not lost; the service that makes partitions keeps this empty.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['requests', 'results', 'attempts', 'attempt_events', 'events'] LOOP
        EXECUTE format('CREATE TABLE eve.%I PARTITION OF eve.%I DEFAULT', name || '_rest', name);
        EXECUTE format('ALTER TABLE eve.%I ENABLE ROW LEVEL SECURITY', name || '_rest');
        EXECUTE format('ALTER TABLE eve.%I FORCE ROW LEVEL SECURITY', name || '_rest');
    END LOOP;
END
$$;

-- How many attempts may run at once. The narrowest room left decides.
CREATE TABLE eve.limits (
    org_id      uuid REFERENCES eve.organizations (id),
    scope       text NOT NULL CHECK (scope IN ('organization', 'project', 'worker_type', 'service', 'account')),
    name        text NOT NULL,
    max_running int NOT NULL CHECK (max_running >= 0),
    UNIQUE NULLS NOT DISTINCT (scope, org_id, name),
    CHECK ((scope IN ('service', 'account')) <= (org_id IS NULL)),
    CHECK ((scope IN ('organization', 'project')) <= (org_id IS NOT NULL))
);
COMMENT ON TABLE eve.limits IS 'Concurrency limits. Those of services and accounts are the installation''s, and so may be those of a worker type: org_id is null.';
ALTER TABLE eve.limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.limits TO eve_service
    USING (org_id = (SELECT eve.current_org())) WITH CHECK (org_id = eve.current_org());
CREATE POLICY platform ON eve.limits TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.limits TO eve_service, eve_platform;
