-- The whole schema, as all migrations make it. Written by `cargo xtask sqlx`; change a migration instead.

CREATE SCHEMA eve;

CREATE FUNCTION eve.current_org() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('eve.org_id'::text, true), ''::text))::uuid;

CREATE FUNCTION eve.partition_create(parent text, lower_at timestamp with time zone, upper_at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION eve.partition_drop(parent text, name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

CREATE FUNCTION eve.uuid_at(at timestamp with time zone) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((lpad(to_hex(((EXTRACT(epoch FROM at) * (1000)::numeric))::bigint), 12, '0'::text) || '70008000000000000000'::text))::uuid;

CREATE TABLE eve.api_keys (
    org_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    secret_sha256 bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_secret_sha256_check CHECK ((octet_length(secret_sha256) = 32))
);

ALTER TABLE ONLY eve.api_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.attempt_events (
    org_id uuid NOT NULL,
    attempt_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    version smallint NOT NULL,
    event jsonb NOT NULL
)
PARTITION BY RANGE (attempt_id);

ALTER TABLE ONLY eve.attempt_events FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.attempt_events_rest (
    org_id uuid NOT NULL,
    attempt_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    version smallint NOT NULL,
    event jsonb NOT NULL
);

ALTER TABLE ONLY eve.attempt_events_rest FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.attempts (
    org_id uuid NOT NULL,
    request_id uuid NOT NULL,
    fence bigint NOT NULL,
    id uuid NOT NULL,
    worker_id uuid NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone DEFAULT now() NOT NULL,
    dropped_bytes bigint,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    exit_code integer,
    state text NOT NULL,
    outcome text,
    harness text,
    model text,
    session_id text,
    failure_class text,
    message text,
    cost_usd numeric(20,9),
    cost_basis text
)
PARTITION BY RANGE (request_id);

ALTER TABLE ONLY eve.attempts FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.results (
    request_id uuid NOT NULL,
    org_id uuid NOT NULL,
    attempt_id uuid,
    fence bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    worker_id uuid,
    claimed_at timestamp with time zone,
    started_at timestamp with time zone,
    dropped_bytes bigint,
    duration_ms bigint,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    exit_code integer,
    files_changed integer,
    burned smallint DEFAULT 0 NOT NULL,
    state text NOT NULL,
    status text NOT NULL,
    harness text,
    session_id text,
    summary text DEFAULT ''::text NOT NULL,
    output jsonb,
    branch text,
    commit_id text,
    base_commit_id text,
    pull_request text,
    patch text,
    model text,
    cost_usd numeric(20,9),
    cost_basis text,
    error text,
    error_code text
)
PARTITION BY RANGE (request_id);

ALTER TABLE ONLY eve.results FORCE ROW LEVEL SECURITY;

CREATE VIEW eve.attempt_view WITH (security_invoker='true') AS
 SELECT attempts.org_id,
    attempts.request_id,
    attempts.fence,
    attempts.id,
    attempts.worker_id,
    attempts.claimed_at,
    attempts.started_at,
    attempts.ended_at,
    attempts.dropped_bytes,
    attempts.input_tokens,
    attempts.output_tokens,
    attempts.cache_read_tokens,
    attempts.cache_write_tokens,
    attempts.exit_code,
    attempts.state,
    attempts.outcome,
    attempts.harness,
    attempts.model,
    attempts.session_id,
    attempts.failure_class,
    attempts.message,
    attempts.cost_usd,
    attempts.cost_basis
   FROM eve.attempts
UNION ALL
 SELECT results.org_id,
    results.request_id,
    results.fence,
    results.attempt_id AS id,
    results.worker_id,
    results.claimed_at,
    results.started_at,
    results.created_at AS ended_at,
    results.dropped_bytes,
    results.input_tokens,
    results.output_tokens,
    results.cache_read_tokens,
    results.cache_write_tokens,
    results.exit_code,
    'settled'::text AS state,
    'succeeded'::text AS outcome,
    results.harness,
    results.model,
    results.session_id,
    NULL::text AS failure_class,
    NULL::text AS message,
    results.cost_usd,
    results.cost_basis
   FROM eve.results
  WHERE (results.worker_id IS NOT NULL);

CREATE TABLE eve.attempts_rest (
    org_id uuid NOT NULL,
    request_id uuid NOT NULL,
    fence bigint NOT NULL,
    id uuid NOT NULL,
    worker_id uuid NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone DEFAULT now() NOT NULL,
    dropped_bytes bigint,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    exit_code integer,
    state text NOT NULL,
    outcome text,
    harness text,
    model text,
    session_id text,
    failure_class text,
    message text,
    cost_usd numeric(20,9),
    cost_basis text
);

ALTER TABLE ONLY eve.attempts_rest FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.bulk_actions (
    org_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    key_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    served_at timestamp with time zone DEFAULT now() NOT NULL,
    cursor_id uuid,
    done bigint DEFAULT 0 NOT NULL,
    skipped bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    priority smallint,
    action text NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    user_name text NOT NULL,
    filter jsonb NOT NULL,
    reasons jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT bulk_actions_action_check CHECK ((action = ANY (ARRAY['cancel'::text, 'replay'::text, 'reprioritise'::text]))),
    CONSTRAINT bulk_actions_check CHECK (((action = 'reprioritise'::text) = (priority IS NOT NULL))),
    CONSTRAINT bulk_actions_check1 CHECK (((state = ANY (ARRAY['completed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT bulk_actions_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'running'::text, 'completed'::text, 'cancelled'::text])))
)
WITH (fillfactor='50');

ALTER TABLE ONLY eve.bulk_actions FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.dependencies (
    depends_on_id uuid NOT NULL,
    request_id uuid NOT NULL,
    org_id uuid NOT NULL,
    CONSTRAINT dependencies_check CHECK ((request_id <> depends_on_id))
);

ALTER TABLE ONLY eve.dependencies FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.events (
    org_id uuid NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    request_ids uuid[],
    attempt_ids uuid[],
    lane_ids integer[],
    payload jsonb
)
PARTITION BY RANGE (at);

ALTER TABLE ONLY eve.events FORCE ROW LEVEL SECURITY;

CREATE VIEW eve.event_view WITH (security_invoker='true') AS
 SELECT e.org_id,
    e.xid,
    e.seq AS row_seq,
    ((e.seq * 64) + COALESCE((n.ordinality - 1), (0)::bigint)) AS seq,
    e.at,
    e.kind,
    e.actor,
    n.request_id,
    n.attempt_id,
    n.lane_id,
    e.payload
   FROM (eve.events e
     LEFT JOIN LATERAL UNNEST(e.request_ids, e.attempt_ids, e.lane_ids) WITH ORDINALITY n(request_id, attempt_id, lane_id, ordinality) ON (true));

CREATE TABLE eve.events_rest (
    org_id uuid NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    request_ids uuid[],
    attempt_ids uuid[],
    lane_ids integer[],
    payload jsonb
);

ALTER TABLE ONLY eve.events_rest FORCE ROW LEVEL SECURITY;

ALTER TABLE eve.events ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME eve.events_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE eve.idempotency_keys (
    org_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    request_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    made uuid[],
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

ALTER TABLE ONLY eve.idempotency_keys FORCE ROW LEVEL SECURITY;

COMMENT ON COLUMN eve.idempotency_keys.request_id IS 'What the call made: a request, the first of many, or a bulk action.';

COMMENT ON COLUMN eve.idempotency_keys.made IS 'All that the call made, in its order, where it may make more than one request.';

CREATE TABLE eve.instance (
    one boolean DEFAULT true NOT NULL,
    secret bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT instance_one_check CHECK (one),
    CONSTRAINT instance_secret_check CHECK ((octet_length(secret) = 32))
);

ALTER TABLE ONLY eve.instance FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE eve.instance IS 'One row: the secret that signs tokens and cursors of this installation.';

CREATE TABLE eve.lanes (
    id integer NOT NULL,
    org_id uuid NOT NULL,
    worker_type text NOT NULL,
    project_id uuid,
    service text DEFAULT ''::text NOT NULL
);

ALTER TABLE ONLY eve.lanes FORCE ROW LEVEL SECURITY;

ALTER TABLE eve.lanes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME eve.lanes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE eve.leases (
    request_id uuid NOT NULL,
    org_id uuid NOT NULL,
    attempt_id uuid NOT NULL,
    worker_id uuid NOT NULL,
    parent_id uuid,
    fence bigint NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    lane_id integer NOT NULL,
    priority smallint NOT NULL,
    burned smallint NOT NULL,
    crashes smallint NOT NULL,
    max_attempts smallint NOT NULL,
    stop text,
    harness text,
    session_id text
)
WITH (fillfactor='80', autovacuum_vacuum_threshold='20000', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_threshold='50000', autovacuum_analyze_scale_factor='0');

ALTER TABLE ONLY eve.leases FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.limits (
    org_id uuid,
    scope text NOT NULL,
    name text NOT NULL,
    max_running integer NOT NULL,
    CONSTRAINT limits_check CHECK (((scope = ANY (ARRAY['service'::text, 'account'::text])) <= (org_id IS NULL))),
    CONSTRAINT limits_check1 CHECK (((scope = ANY (ARRAY['organization'::text, 'project'::text])) <= (org_id IS NOT NULL))),
    CONSTRAINT limits_max_running_check CHECK ((max_running >= 0)),
    CONSTRAINT limits_scope_check CHECK ((scope = ANY (ARRAY['organization'::text, 'project'::text, 'worker_type'::text, 'service'::text, 'account'::text])))
);

ALTER TABLE ONLY eve.limits FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE eve.limits IS 'Concurrency limits. Those of services and accounts are the installation''s, and so may be those of a worker type: org_id is null.';

CREATE TABLE eve.members (
    org_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text])))
);

ALTER TABLE ONLY eve.members FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.organizations (
    id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT organizations_slug_check CHECK ((slug ~ '^[a-z][a-z0-9-]{0,62}$'::text))
);

ALTER TABLE ONLY eve.organizations FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.parked (
    request_id uuid NOT NULL,
    org_id uuid NOT NULL,
    parent_id uuid,
    fence bigint DEFAULT 0 NOT NULL,
    run_at timestamp with time zone,
    lane_id integer NOT NULL,
    open integer DEFAULT 0 NOT NULL,
    priority smallint NOT NULL,
    burned smallint DEFAULT 0 NOT NULL,
    crashes smallint DEFAULT 0 NOT NULL,
    max_attempts smallint NOT NULL,
    state text NOT NULL,
    reason text,
    on_dependency_failure text DEFAULT 'fail'::text NOT NULL,
    CONSTRAINT parked_check CHECK (((state <> 'pending'::text) OR (run_at IS NOT NULL))),
    CONSTRAINT parked_check1 CHECK (((state = ANY (ARRAY['held'::text, 'waiting'::text])) = (reason IS NOT NULL))),
    CONSTRAINT parked_state_check CHECK ((state = ANY (ARRAY['blocked'::text, 'held'::text, 'pending'::text, 'waiting'::text, 'paused'::text])))
)
WITH (fillfactor='80', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0');

ALTER TABLE ONLY eve.parked FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.projects (
    org_id uuid NOT NULL,
    id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    goal text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT projects_slug_check CHECK ((slug ~ '^[a-z][a-z0-9-]{0,62}$'::text))
);

ALTER TABLE ONLY eve.projects FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.queue (
    request_id uuid NOT NULL,
    org_id uuid NOT NULL,
    parent_id uuid,
    fence bigint DEFAULT 0 NOT NULL,
    lane_id integer NOT NULL,
    priority smallint NOT NULL,
    burned smallint DEFAULT 0 NOT NULL,
    crashes smallint DEFAULT 0 NOT NULL,
    max_attempts smallint NOT NULL
)
WITH (autovacuum_vacuum_threshold='20000', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_threshold='50000', autovacuum_analyze_scale_factor='0');

ALTER TABLE ONLY eve.queue FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.releases (
    request_id uuid NOT NULL,
    org_id uuid NOT NULL,
    failed boolean NOT NULL
);

ALTER TABLE ONLY eve.releases FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.requests (
    org_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    parent_id uuid,
    replay_of uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    run_at timestamp with time zone,
    lane_id integer NOT NULL,
    timeout_seconds integer,
    max_attempts smallint NOT NULL,
    priority smallint NOT NULL,
    on_dependency_failure text DEFAULT 'fail'::text NOT NULL,
    title text NOT NULL,
    prompt text NOT NULL,
    repository text,
    branch text,
    harness text,
    model text,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    config jsonb DEFAULT '{}'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    reply_to jsonb,
    blocked_by uuid[]
)
PARTITION BY RANGE (id);

ALTER TABLE ONLY eve.requests FORCE ROW LEVEL SECURITY;

CREATE VIEW eve.request_view WITH (security_invoker='true') AS
 SELECT r.org_id,
    r.id,
    r.user_id,
    r.parent_id,
    r.replay_of,
    r.created_at,
    r.run_at AS asked_run_at,
    r.lane_id,
    r.timeout_seconds,
    r.max_attempts,
    r.on_dependency_failure,
    r.title,
    r.prompt,
    r.repository,
    r.branch,
    r.harness,
    r.model,
    r.context,
    r.config,
    r.metadata,
    r.reply_to,
    r.blocked_by,
    l.worker_type,
    l.project_id,
        CASE
            WHEN (z.request_id IS NOT NULL) THEN z.state
            WHEN (e.request_id IS NOT NULL) THEN
            CASE
                WHEN (e.started_at IS NULL) THEN 'claimed'::text
                ELSE 'processing'::text
            END
            WHEN (q.request_id IS NOT NULL) THEN 'pending'::text
            ELSE p.state
        END AS state,
    COALESCE(z.error_code, p.reason) AS reason,
        CASE
            WHEN (q.request_id IS NOT NULL) THEN COALESCE(r.run_at, r.created_at)
            ELSE p.run_at
        END AS run_at,
    COALESCE(q.priority, e.priority, p.priority, r.priority) AS priority,
    COALESCE(z.fence, e.fence, q.fence, p.fence) AS fence,
    COALESCE(z.burned, e.burned, q.burned, p.burned) AS burned,
    e.attempt_id,
    e.stop,
    e.started_at AS lease_started_at,
    z.created_at AS finished_at,
    z.error AS result_error
   FROM (((((eve.requests r
     JOIN eve.lanes l ON ((l.id = r.lane_id)))
     LEFT JOIN eve.results z ON ((z.request_id = r.id)))
     LEFT JOIN eve.leases e ON ((e.request_id = r.id)))
     LEFT JOIN eve.queue q ON (((q.lane_id = r.lane_id) AND (q.priority = ANY ('{1,2,3,4}'::smallint[])) AND (q.request_id = r.id))))
     LEFT JOIN eve.parked p ON ((p.request_id = r.id)));

CREATE TABLE eve.requests_rest (
    org_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    parent_id uuid,
    replay_of uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    run_at timestamp with time zone,
    lane_id integer NOT NULL,
    timeout_seconds integer,
    max_attempts smallint NOT NULL,
    priority smallint NOT NULL,
    on_dependency_failure text DEFAULT 'fail'::text NOT NULL,
    title text NOT NULL,
    prompt text NOT NULL,
    repository text,
    branch text,
    harness text,
    model text,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    config jsonb DEFAULT '{}'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    reply_to jsonb,
    blocked_by uuid[]
);

ALTER TABLE ONLY eve.requests_rest FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.results_rest (
    request_id uuid NOT NULL,
    org_id uuid NOT NULL,
    attempt_id uuid,
    fence bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    worker_id uuid,
    claimed_at timestamp with time zone,
    started_at timestamp with time zone,
    dropped_bytes bigint,
    duration_ms bigint,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    exit_code integer,
    files_changed integer,
    burned smallint DEFAULT 0 NOT NULL,
    state text NOT NULL,
    status text NOT NULL,
    harness text,
    session_id text,
    summary text DEFAULT ''::text NOT NULL,
    output jsonb,
    branch text,
    commit_id text,
    base_commit_id text,
    pull_request text,
    patch text,
    model text,
    cost_usd numeric(20,9),
    cost_basis text,
    error text,
    error_code text
);

ALTER TABLE ONLY eve.results_rest FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.users (
    id uuid NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY eve.users FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE eve.users IS 'People. One person may belong to several organizations, so there is no org_id here.';

CREATE TABLE eve.worker_keys (
    id uuid NOT NULL,
    name text NOT NULL,
    secret_sha256 bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT worker_keys_secret_sha256_check CHECK ((octet_length(secret_sha256) = 32))
);

ALTER TABLE ONLY eve.worker_keys FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE eve.worker_keys IS 'Keys of workers. A worker serves every organization, so no tenant may read these.';

CREATE TABLE eve.worker_types (
    org_id uuid NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    capabilities text[] DEFAULT '{}'::text[] NOT NULL,
    instructions text DEFAULT ''::text NOT NULL,
    harness text,
    model text,
    image text,
    timeout_seconds integer DEFAULT 1800 NOT NULL,
    idle_timeout_seconds integer DEFAULT 600 NOT NULL,
    max_attempts integer DEFAULT 3 NOT NULL,
    config jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT worker_types_idle_timeout_seconds_check CHECK ((idle_timeout_seconds > 0)),
    CONSTRAINT worker_types_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 100))),
    CONSTRAINT worker_types_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{0,63}$'::text)),
    CONSTRAINT worker_types_timeout_seconds_check CHECK ((timeout_seconds > 0))
);

ALTER TABLE ONLY eve.worker_types FORCE ROW LEVEL SECURITY;

COMMENT ON COLUMN eve.worker_types.instructions IS 'The skills attached to the type: Markdown that is given to the agent with every request.';

CREATE TABLE eve.workers (
    id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    worker_types text[] NOT NULL,
    harnesses jsonb DEFAULT '[]'::jsonb NOT NULL,
    slots integer NOT NULL,
    account text,
    state text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    CONSTRAINT workers_slots_check CHECK ((slots > 0)),
    CONSTRAINT workers_state_check CHECK ((state = ANY (ARRAY['active'::text, 'draining'::text, 'stopped'::text, 'lost'::text])))
)
WITH (fillfactor='50');

COMMENT ON TABLE eve.workers IS 'Worker processes. They serve every organization, so there is no org_id here.';

ALTER TABLE ONLY eve.attempt_events ATTACH PARTITION eve.attempt_events_rest DEFAULT;

ALTER TABLE ONLY eve.attempts ATTACH PARTITION eve.attempts_rest DEFAULT;

ALTER TABLE ONLY eve.events ATTACH PARTITION eve.events_rest DEFAULT;

ALTER TABLE ONLY eve.requests ATTACH PARTITION eve.requests_rest DEFAULT;

ALTER TABLE ONLY eve.results ATTACH PARTITION eve.results_rest DEFAULT;

ALTER TABLE ONLY eve.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.api_keys
    ADD CONSTRAINT api_keys_secret_sha256_key UNIQUE (secret_sha256);

ALTER TABLE ONLY eve.attempt_events
    ADD CONSTRAINT attempt_events_pkey PRIMARY KEY (attempt_id, seq);

ALTER TABLE ONLY eve.attempt_events_rest
    ADD CONSTRAINT attempt_events_rest_pkey PRIMARY KEY (attempt_id, seq);

ALTER TABLE ONLY eve.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (request_id, fence);

ALTER TABLE ONLY eve.attempts_rest
    ADD CONSTRAINT attempts_rest_pkey PRIMARY KEY (request_id, fence);

ALTER TABLE ONLY eve.bulk_actions
    ADD CONSTRAINT bulk_actions_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.dependencies
    ADD CONSTRAINT dependencies_pkey PRIMARY KEY (depends_on_id, request_id);

ALTER TABLE ONLY eve.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (org_id, key);

ALTER TABLE ONLY eve.instance
    ADD CONSTRAINT instance_pkey PRIMARY KEY (one);

ALTER TABLE ONLY eve.lanes
    ADD CONSTRAINT lanes_org_id_worker_type_project_id_service_key UNIQUE NULLS NOT DISTINCT (org_id, worker_type, project_id, service);

ALTER TABLE ONLY eve.lanes
    ADD CONSTRAINT lanes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY eve.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY eve.limits
    ADD CONSTRAINT limits_scope_org_id_name_key UNIQUE NULLS NOT DISTINCT (scope, org_id, name);

ALTER TABLE ONLY eve.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (org_id, user_id);

ALTER TABLE ONLY eve.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY eve.organizations
    ADD CONSTRAINT organizations_slug_key UNIQUE (slug);

ALTER TABLE ONLY eve.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY eve.projects
    ADD CONSTRAINT projects_org_id_slug_key UNIQUE (org_id, slug);

ALTER TABLE ONLY eve.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (lane_id, priority, request_id);

ALTER TABLE ONLY eve.releases
    ADD CONSTRAINT releases_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY eve.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.requests_rest
    ADD CONSTRAINT requests_rest_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.results
    ADD CONSTRAINT results_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY eve.results_rest
    ADD CONSTRAINT results_rest_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY eve.users
    ADD CONSTRAINT users_email_key UNIQUE (email);

ALTER TABLE ONLY eve.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY eve.worker_keys
    ADD CONSTRAINT worker_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY eve.worker_keys
    ADD CONSTRAINT worker_keys_secret_sha256_key UNIQUE (secret_sha256);

ALTER TABLE ONLY eve.worker_types
    ADD CONSTRAINT worker_types_pkey PRIMARY KEY (org_id, name);

ALTER TABLE ONLY eve.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);

CREATE INDEX bulk_actions_open ON eve.bulk_actions USING btree (served_at) WHERE (state = ANY (ARRAY['pending'::text, 'running'::text]));

CREATE INDEX events_stream ON ONLY eve.events USING btree (org_id, xid, seq);

CREATE INDEX events_rest_org_id_xid_seq_idx ON eve.events_rest USING btree (org_id, xid, seq);

CREATE INDEX idempotency_keys_age ON eve.idempotency_keys USING brin (created_at);

CREATE INDEX parked_due ON eve.parked USING btree (run_at) WHERE (run_at IS NOT NULL);

CREATE INDEX parked_list ON eve.parked USING btree (org_id, request_id);

CREATE INDEX requests_parent ON ONLY eve.requests USING btree (org_id, parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX requests_rest_org_id_parent_id_idx ON eve.requests_rest USING btree (org_id, parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX results_unhappy ON ONLY eve.results USING btree (org_id, request_id) WHERE (state <> 'completed'::text);

CREATE INDEX results_rest_org_id_request_id_idx ON eve.results_rest USING btree (org_id, request_id) WHERE (state <> 'completed'::text);

ALTER INDEX eve.attempt_events_pkey ATTACH PARTITION eve.attempt_events_rest_pkey;

ALTER INDEX eve.attempts_pkey ATTACH PARTITION eve.attempts_rest_pkey;

ALTER INDEX eve.events_stream ATTACH PARTITION eve.events_rest_org_id_xid_seq_idx;

ALTER INDEX eve.requests_parent ATTACH PARTITION eve.requests_rest_org_id_parent_id_idx;

ALTER INDEX eve.requests_pkey ATTACH PARTITION eve.requests_rest_pkey;

ALTER INDEX eve.results_unhappy ATTACH PARTITION eve.results_rest_org_id_request_id_idx;

ALTER INDEX eve.results_pkey ATTACH PARTITION eve.results_rest_pkey;

ALTER TABLE ONLY eve.api_keys
    ADD CONSTRAINT api_keys_org_id_user_id_fkey FOREIGN KEY (org_id, user_id) REFERENCES eve.members(org_id, user_id);

ALTER TABLE ONLY eve.bulk_actions
    ADD CONSTRAINT bulk_actions_org_id_user_id_fkey FOREIGN KEY (org_id, user_id) REFERENCES eve.members(org_id, user_id);

ALTER TABLE ONLY eve.idempotency_keys
    ADD CONSTRAINT idempotency_keys_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.lanes
    ADD CONSTRAINT lanes_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES eve.projects(org_id, id);

ALTER TABLE ONLY eve.lanes
    ADD CONSTRAINT lanes_org_id_worker_type_fkey FOREIGN KEY (org_id, worker_type) REFERENCES eve.worker_types(org_id, name);

ALTER TABLE ONLY eve.limits
    ADD CONSTRAINT limits_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.members
    ADD CONSTRAINT members_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.members
    ADD CONSTRAINT members_user_id_fkey FOREIGN KEY (user_id) REFERENCES eve.users(id);

ALTER TABLE ONLY eve.projects
    ADD CONSTRAINT projects_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.worker_types
    ADD CONSTRAINT worker_types_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE eve.api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.attempt_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.attempt_events_rest ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.attempts_rest ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.bulk_actions ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.dependencies ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.events ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.events_rest ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.idempotency_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.instance ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.lanes ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.leases ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.limits ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.members ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.organizations ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.parked ENABLE ROW LEVEL SECURITY;

CREATE POLICY platform ON eve.api_keys TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.attempt_events TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.attempts TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.bulk_actions TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.dependencies TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.events TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.idempotency_keys TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.instance TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.lanes TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.leases TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.limits TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.members TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.organizations TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.parked TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.projects TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.queue TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.releases TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.requests TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.results TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.users TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.worker_keys TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.worker_types TO eve_platform USING (true) WITH CHECK (true);

ALTER TABLE eve.projects ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.queue ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.releases ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.requests_rest ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.results ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.results_rest ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON eve.api_keys TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.attempt_events TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.attempts TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.bulk_actions TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.dependencies TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.events TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.idempotency_keys TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.lanes TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.leases TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.limits TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.members TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.organizations TO eve_service USING ((id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((id = eve.current_org()));

CREATE POLICY tenant ON eve.parked TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.projects TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.queue TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.releases TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.requests TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.results TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.users TO eve_service USING ((EXISTS ( SELECT
   FROM eve.members m
  WHERE ((m.user_id = users.id) AND (m.org_id = ( SELECT eve.current_org() AS current_org))))));

CREATE POLICY tenant ON eve.worker_types TO eve_service USING ((org_id = ( SELECT eve.current_org() AS current_org))) WITH CHECK ((org_id = eve.current_org()));

ALTER TABLE eve.users ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.worker_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.worker_types ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA eve TO eve_service;
GRANT USAGE ON SCHEMA eve TO eve_platform;

REVOKE ALL ON FUNCTION eve.partition_create(parent text, lower_at timestamp with time zone, upper_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION eve.partition_create(parent text, lower_at timestamp with time zone, upper_at timestamp with time zone) TO eve_platform;

REVOKE ALL ON FUNCTION eve.partition_drop(parent text, name text) FROM PUBLIC;
GRANT ALL ON FUNCTION eve.partition_drop(parent text, name text) TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.api_keys TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.api_keys TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.attempt_events TO eve_service;
GRANT SELECT,INSERT ON TABLE eve.attempt_events TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.attempts TO eve_service;
GRANT SELECT,INSERT ON TABLE eve.attempts TO eve_platform;

GRANT SELECT,INSERT,UPDATE ON TABLE eve.results TO eve_service;
GRANT SELECT,INSERT,UPDATE ON TABLE eve.results TO eve_platform;

GRANT SELECT ON TABLE eve.attempt_view TO eve_service;
GRANT SELECT ON TABLE eve.attempt_view TO eve_platform;

GRANT SELECT,INSERT,UPDATE ON TABLE eve.bulk_actions TO eve_service;
GRANT SELECT,DELETE ON TABLE eve.bulk_actions TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.dependencies TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.dependencies TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.events TO eve_service;
GRANT SELECT,INSERT ON TABLE eve.events TO eve_platform;

GRANT SELECT ON TABLE eve.event_view TO eve_service;
GRANT SELECT ON TABLE eve.event_view TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.idempotency_keys TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.idempotency_keys TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.instance TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.lanes TO eve_service;
GRANT SELECT,INSERT ON TABLE eve.lanes TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.leases TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.leases TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.limits TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.limits TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.members TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.members TO eve_platform;

GRANT SELECT,UPDATE ON TABLE eve.organizations TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.organizations TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.parked TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.parked TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.projects TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.projects TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.queue TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.queue TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.releases TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.releases TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.requests TO eve_service;
GRANT SELECT,INSERT ON TABLE eve.requests TO eve_platform;

GRANT SELECT ON TABLE eve.request_view TO eve_service;
GRANT SELECT ON TABLE eve.request_view TO eve_platform;

GRANT SELECT ON TABLE eve.users TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.users TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.worker_keys TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.worker_types TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.worker_types TO eve_platform;

GRANT SELECT ON TABLE eve.workers TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.workers TO eve_platform;
