-- The whole schema, as all migrations make it. Written by `cargo xtask sqlx`; change a migration instead.

CREATE SCHEMA eve;

CREATE FUNCTION eve.current_org() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('eve.org_id'::text, true), ''::text))::uuid;

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
);

ALTER TABLE ONLY eve.attempt_events FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.attempts (
    org_id uuid NOT NULL,
    id uuid NOT NULL,
    request_id uuid NOT NULL,
    number integer NOT NULL,
    fence bigint NOT NULL,
    worker_id uuid NOT NULL,
    state text NOT NULL,
    harness text,
    model text,
    session_id text,
    outcome text,
    failure_class text,
    message text,
    exit_code integer,
    dropped_bytes bigint DEFAULT 0 NOT NULL,
    input_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL,
    cache_read_tokens bigint DEFAULT 0 NOT NULL,
    cache_write_tokens bigint DEFAULT 0 NOT NULL,
    cost_usd numeric(20,9),
    cost_basis text,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT attempts_state_check CHECK ((state = ANY (ARRAY['claimed'::text, 'running'::text, 'settled'::text, 'released'::text, 'expired'::text])))
)
WITH (fillfactor='75');

ALTER TABLE ONLY eve.attempts FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.blocked (
    request_id uuid NOT NULL,
    org_id uuid NOT NULL
);

ALTER TABLE ONLY eve.blocked FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.events (
    org_id uuid NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    request_id uuid,
    attempt_id uuid,
    actor text NOT NULL,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY eve.events FORCE ROW LEVEL SECURITY;

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
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

ALTER TABLE ONLY eve.idempotency_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.instance (
    one boolean DEFAULT true NOT NULL,
    secret bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT instance_one_check CHECK (one),
    CONSTRAINT instance_secret_check CHECK ((octet_length(secret) = 32))
);

ALTER TABLE ONLY eve.instance FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE eve.instance IS 'One row: the secret that signs tokens and cursors of this installation.';

CREATE TABLE eve.leases (
    attempt_id uuid NOT NULL,
    org_id uuid NOT NULL,
    request_id uuid NOT NULL,
    worker_id uuid NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    stop text,
    CONSTRAINT leases_stop_check CHECK ((stop = ANY (ARRAY['cancel'::text, 'pause'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0');

ALTER TABLE ONLY eve.leases FORCE ROW LEVEL SECURITY;

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
    worker_type text NOT NULL,
    priority smallint NOT NULL,
    run_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_threshold='5000', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0');

ALTER TABLE ONLY eve.queue FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.request_dependencies (
    org_id uuid NOT NULL,
    request_id uuid NOT NULL,
    depends_on_id uuid NOT NULL,
    CONSTRAINT request_dependencies_check CHECK ((request_id <> depends_on_id))
);

ALTER TABLE ONLY eve.request_dependencies FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.requests (
    org_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    project_id uuid,
    parent_id uuid,
    replay_of uuid,
    worker_type text NOT NULL,
    title text NOT NULL,
    prompt text NOT NULL,
    repository text,
    branch text,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    config jsonb DEFAULT '{}'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    reply_to jsonb,
    harness text,
    model text,
    timeout_seconds integer,
    max_attempts integer NOT NULL,
    on_dependency_failure text DEFAULT 'fail'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    priority smallint NOT NULL,
    state text NOT NULL,
    reason text,
    run_at timestamp with time zone,
    attempt_id uuid,
    fence bigint DEFAULT 0 NOT NULL,
    burned smallint DEFAULT 0 NOT NULL,
    crashes smallint DEFAULT 0 NOT NULL,
    stop text,
    last_error text,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT requests_check CHECK (((state = 'pending'::text) = (run_at IS NOT NULL))),
    CONSTRAINT requests_check1 CHECK (((state = ANY (ARRAY['claimed'::text, 'processing'::text])) = (attempt_id IS NOT NULL))),
    CONSTRAINT requests_check2 CHECK (((state = ANY (ARRAY['held'::text, 'waiting'::text, 'failed'::text])) = (reason IS NOT NULL))),
    CONSTRAINT requests_check3 CHECK (((state = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT requests_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 100))),
    CONSTRAINT requests_on_dependency_failure_check CHECK ((on_dependency_failure = ANY (ARRAY['fail'::text, 'proceed'::text]))),
    CONSTRAINT requests_priority_check CHECK (((priority >= 1) AND (priority <= 4))),
    CONSTRAINT requests_state_check CHECK ((state = ANY (ARRAY['blocked'::text, 'held'::text, 'pending'::text, 'claimed'::text, 'processing'::text, 'waiting'::text, 'paused'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT requests_stop_check CHECK ((stop = ANY (ARRAY['cancel'::text, 'pause'::text]))),
    CONSTRAINT requests_timeout_seconds_check CHECK ((timeout_seconds > 0))
)
WITH (fillfactor='75');

ALTER TABLE ONLY eve.requests FORCE ROW LEVEL SECURITY;

CREATE TABLE eve.results (
    org_id uuid NOT NULL,
    request_id uuid NOT NULL,
    attempt_id uuid,
    status text NOT NULL,
    output jsonb DEFAULT 'null'::jsonb NOT NULL,
    summary text DEFAULT ''::text NOT NULL,
    branch text,
    commit_id text,
    base_commit_id text,
    pull_request text,
    files_changed integer DEFAULT 0 NOT NULL,
    patch text,
    duration_ms bigint DEFAULT 0 NOT NULL,
    model text,
    input_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL,
    cache_read_tokens bigint DEFAULT 0 NOT NULL,
    cache_write_tokens bigint DEFAULT 0 NOT NULL,
    cost_usd numeric(20,9),
    cost_basis text,
    error text,
    error_code text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT results_status_check CHECK ((status = ANY (ARRAY['success'::text, 'error'::text, 'partial'::text, 'timeout'::text, 'needs_input'::text, 'cancelled'::text])))
);

ALTER TABLE ONLY eve.results FORCE ROW LEVEL SECURITY;

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
    state text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workers_slots_check CHECK ((slots > 0)),
    CONSTRAINT workers_state_check CHECK ((state = ANY (ARRAY['active'::text, 'draining'::text, 'stopped'::text])))
);

COMMENT ON TABLE eve.workers IS 'Worker processes. They serve every organization, so there is no org_id here.';

ALTER TABLE ONLY eve.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.api_keys
    ADD CONSTRAINT api_keys_secret_sha256_key UNIQUE (secret_sha256);

ALTER TABLE ONLY eve.attempt_events
    ADD CONSTRAINT attempt_events_pkey PRIMARY KEY (attempt_id, seq);

ALTER TABLE ONLY eve.attempts
    ADD CONSTRAINT attempts_org_id_request_id_fence_key UNIQUE (org_id, request_id, fence);

ALTER TABLE ONLY eve.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.blocked
    ADD CONSTRAINT blocked_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY eve.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (org_id, xid, seq);

ALTER TABLE ONLY eve.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (org_id, key);

ALTER TABLE ONLY eve.instance
    ADD CONSTRAINT instance_pkey PRIMARY KEY (one);

ALTER TABLE ONLY eve.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (attempt_id);

ALTER TABLE ONLY eve.leases
    ADD CONSTRAINT leases_request_id_key UNIQUE (request_id);

ALTER TABLE ONLY eve.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (org_id, user_id);

ALTER TABLE ONLY eve.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY eve.organizations
    ADD CONSTRAINT organizations_slug_key UNIQUE (slug);

ALTER TABLE ONLY eve.projects
    ADD CONSTRAINT projects_org_id_slug_key UNIQUE (org_id, slug);

ALTER TABLE ONLY eve.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY eve.request_dependencies
    ADD CONSTRAINT request_dependencies_pkey PRIMARY KEY (org_id, request_id, depends_on_id);

ALTER TABLE ONLY eve.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (org_id, id);

ALTER TABLE ONLY eve.results
    ADD CONSTRAINT results_pkey PRIMARY KEY (org_id, request_id);

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

CREATE INDEX events_age ON eve.events USING brin (at);

CREATE INDEX queue_claim ON eve.queue USING btree (worker_type, priority, run_at, request_id);

CREATE INDEX request_dependencies_reverse ON eve.request_dependencies USING btree (org_id, depends_on_id);

CREATE INDEX requests_parent ON eve.requests USING btree (org_id, parent_id) WHERE (parent_id IS NOT NULL);

ALTER TABLE ONLY eve.api_keys
    ADD CONSTRAINT api_keys_org_id_user_id_fkey FOREIGN KEY (org_id, user_id) REFERENCES eve.members(org_id, user_id);

ALTER TABLE ONLY eve.attempt_events
    ADD CONSTRAINT attempt_events_org_id_attempt_id_fkey FOREIGN KEY (org_id, attempt_id) REFERENCES eve.attempts(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.attempts
    ADD CONSTRAINT attempts_org_id_request_id_fkey FOREIGN KEY (org_id, request_id) REFERENCES eve.requests(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.attempts
    ADD CONSTRAINT attempts_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES eve.workers(id);

ALTER TABLE ONLY eve.blocked
    ADD CONSTRAINT blocked_org_id_request_id_fkey FOREIGN KEY (org_id, request_id) REFERENCES eve.requests(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.events
    ADD CONSTRAINT events_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.idempotency_keys
    ADD CONSTRAINT idempotency_keys_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.idempotency_keys
    ADD CONSTRAINT idempotency_keys_org_id_request_id_fkey FOREIGN KEY (org_id, request_id) REFERENCES eve.requests(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.leases
    ADD CONSTRAINT leases_org_id_attempt_id_fkey FOREIGN KEY (org_id, attempt_id) REFERENCES eve.attempts(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.leases
    ADD CONSTRAINT leases_worker_id_fkey FOREIGN KEY (worker_id) REFERENCES eve.workers(id);

ALTER TABLE ONLY eve.members
    ADD CONSTRAINT members_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.members
    ADD CONSTRAINT members_user_id_fkey FOREIGN KEY (user_id) REFERENCES eve.users(id);

ALTER TABLE ONLY eve.projects
    ADD CONSTRAINT projects_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.queue
    ADD CONSTRAINT queue_org_id_request_id_fkey FOREIGN KEY (org_id, request_id) REFERENCES eve.requests(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.request_dependencies
    ADD CONSTRAINT request_dependencies_org_id_depends_on_id_fkey FOREIGN KEY (org_id, depends_on_id) REFERENCES eve.requests(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.request_dependencies
    ADD CONSTRAINT request_dependencies_org_id_request_id_fkey FOREIGN KEY (org_id, request_id) REFERENCES eve.requests(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.requests
    ADD CONSTRAINT requests_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE ONLY eve.requests
    ADD CONSTRAINT requests_org_id_parent_id_fkey FOREIGN KEY (org_id, parent_id) REFERENCES eve.requests(org_id, id);

ALTER TABLE ONLY eve.requests
    ADD CONSTRAINT requests_org_id_project_id_fkey FOREIGN KEY (org_id, project_id) REFERENCES eve.projects(org_id, id);

ALTER TABLE ONLY eve.requests
    ADD CONSTRAINT requests_org_id_user_id_fkey FOREIGN KEY (org_id, user_id) REFERENCES eve.members(org_id, user_id);

ALTER TABLE ONLY eve.requests
    ADD CONSTRAINT requests_org_id_worker_type_fkey FOREIGN KEY (org_id, worker_type) REFERENCES eve.worker_types(org_id, name);

ALTER TABLE ONLY eve.results
    ADD CONSTRAINT results_org_id_request_id_fkey FOREIGN KEY (org_id, request_id) REFERENCES eve.requests(org_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY eve.worker_types
    ADD CONSTRAINT worker_types_org_id_fkey FOREIGN KEY (org_id) REFERENCES eve.organizations(id);

ALTER TABLE eve.api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.attempt_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.blocked ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.events ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.idempotency_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.instance ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.leases ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.members ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.organizations ENABLE ROW LEVEL SECURITY;

CREATE POLICY platform ON eve.api_keys TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.attempt_events TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.attempts TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.blocked TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.events TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.idempotency_keys TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.instance TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.leases TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.members TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.organizations TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.projects TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.queue TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.request_dependencies TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.requests TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.results TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.users TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.worker_keys TO eve_platform USING (true) WITH CHECK (true);

CREATE POLICY platform ON eve.worker_types TO eve_platform USING (true) WITH CHECK (true);

ALTER TABLE eve.projects ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.queue ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.request_dependencies ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.results ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON eve.api_keys TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.attempt_events TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.attempts TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.blocked TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.events TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.idempotency_keys TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.leases TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.members TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.organizations TO eve_service USING ((id = eve.current_org()));

CREATE POLICY tenant ON eve.projects TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.queue TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.request_dependencies TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.requests TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.results TO eve_service USING ((org_id = eve.current_org()));

CREATE POLICY tenant ON eve.users TO eve_service USING ((EXISTS ( SELECT
   FROM eve.members m
  WHERE ((m.user_id = users.id) AND (m.org_id = eve.current_org())))));

CREATE POLICY tenant ON eve.worker_types TO eve_service USING ((org_id = eve.current_org()));

ALTER TABLE eve.users ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.worker_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE eve.worker_types ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA eve TO eve_service;
GRANT USAGE ON SCHEMA eve TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.api_keys TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.api_keys TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.attempt_events TO eve_service;
GRANT SELECT,INSERT,DELETE ON TABLE eve.attempt_events TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.attempts TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.attempts TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.blocked TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.blocked TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.events TO eve_service;
GRANT SELECT,INSERT,DELETE ON TABLE eve.events TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.idempotency_keys TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.idempotency_keys TO eve_platform;

GRANT SELECT,INSERT ON TABLE eve.instance TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.leases TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.leases TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.members TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.members TO eve_platform;

GRANT SELECT,UPDATE ON TABLE eve.organizations TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.organizations TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.projects TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.projects TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.queue TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.queue TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.request_dependencies TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.request_dependencies TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.requests TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.requests TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.results TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.results TO eve_platform;

GRANT SELECT ON TABLE eve.users TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.users TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.worker_keys TO eve_platform;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.worker_types TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.worker_types TO eve_platform;

GRANT SELECT ON TABLE eve.workers TO eve_service;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE eve.workers TO eve_platform;
