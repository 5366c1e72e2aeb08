-- Tenants, people and keys.
--
-- Two roles use this schema and own nothing in it. `eve_service` sees one organization at a time: the one that the
-- transaction names in the setting `eve.org_id`, and nothing at all without it. `eve_platform` sees every
-- organization; the queue, the reconcilers and the look-up of a key use it. Row-level security is forced, so that
-- not even the owner of the tables reads past it by accident.

CREATE SCHEMA IF NOT EXISTS eve;
GRANT USAGE ON SCHEMA eve TO eve_service, eve_platform;

-- What the transaction says about its tenant. SET LOCAL leaves an empty string behind, hence nullif. Policies that
-- filter ask for it in a sub-select, which is computed once for a statement and not for each row.
CREATE FUNCTION eve.current_org() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('eve.org_id', true), '')::uuid;

CREATE TABLE eve.instance (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    secret     bytea NOT NULL CHECK (octet_length(secret) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE eve.instance IS 'One row: the secret that signs tokens and cursors of this installation.';
ALTER TABLE eve.instance ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.instance FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON eve.instance TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON eve.instance TO eve_platform;

CREATE TABLE eve.organizations (
    id         uuid PRIMARY KEY,
    slug       text NOT NULL UNIQUE CHECK (slug ~ '^[a-z][a-z0-9-]{0,62}$'),
    name       text NOT NULL,
    settings   jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE eve.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.organizations TO eve_service
    USING (id = (SELECT eve.current_org())) WITH CHECK (id = eve.current_org());
CREATE POLICY platform ON eve.organizations TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON eve.organizations TO eve_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.organizations TO eve_platform;

CREATE TABLE eve.users (
    id         uuid PRIMARY KEY,
    email      text NOT NULL UNIQUE,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE eve.users IS 'People. One person may belong to several organizations, so there is no org_id here.';

CREATE TABLE eve.members (
    org_id     uuid NOT NULL REFERENCES eve.organizations (id),
    user_id    uuid NOT NULL REFERENCES eve.users (id),
    role       text NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, user_id)
);
ALTER TABLE eve.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.members FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.members TO eve_service
    USING (org_id = (SELECT eve.current_org())) WITH CHECK (org_id = eve.current_org());
CREATE POLICY platform ON eve.members TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.members TO eve_service, eve_platform;

ALTER TABLE eve.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.users TO eve_service
    USING (EXISTS (SELECT FROM eve.members m WHERE m.user_id = users.id AND m.org_id = (SELECT eve.current_org())));
CREATE POLICY platform ON eve.users TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT ON eve.users TO eve_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.users TO eve_platform;

CREATE TABLE eve.api_keys (
    org_id        uuid NOT NULL,
    id            uuid NOT NULL,
    user_id       uuid NOT NULL,
    name          text NOT NULL,
    secret_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(secret_sha256) = 32),
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz,
    revoked_at    timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES eve.members (org_id, user_id)
);
ALTER TABLE eve.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.api_keys TO eve_service
    USING (org_id = (SELECT eve.current_org())) WITH CHECK (org_id = eve.current_org());
CREATE POLICY platform ON eve.api_keys TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.api_keys TO eve_service, eve_platform;

CREATE TABLE eve.worker_keys (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    secret_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(secret_sha256) = 32),
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz
);
COMMENT ON TABLE eve.worker_keys IS 'Keys of workers. A worker serves every organization, so no tenant may read these.';
ALTER TABLE eve.worker_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.worker_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON eve.worker_keys TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.worker_keys TO eve_platform;

CREATE TABLE eve.projects (
    org_id     uuid NOT NULL REFERENCES eve.organizations (id),
    id         uuid NOT NULL,
    slug       text NOT NULL CHECK (slug ~ '^[a-z][a-z0-9-]{0,62}$'),
    name       text NOT NULL,
    goal       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, slug)
);
ALTER TABLE eve.projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.projects FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.projects TO eve_service
    USING (org_id = (SELECT eve.current_org())) WITH CHECK (org_id = eve.current_org());
CREATE POLICY platform ON eve.projects TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.projects TO eve_service, eve_platform;

CREATE TABLE eve.worker_types (
    org_id               uuid NOT NULL REFERENCES eve.organizations (id),
    name                 text NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,63}$'),
    title                text NOT NULL,
    description          text NOT NULL DEFAULT '',
    capabilities         text[] NOT NULL DEFAULT '{}',
    instructions         text NOT NULL DEFAULT '',
    harness              text,
    model                text,
    image                text,
    timeout_seconds      int NOT NULL DEFAULT 1800 CHECK (timeout_seconds > 0),
    idle_timeout_seconds int NOT NULL DEFAULT 600 CHECK (idle_timeout_seconds > 0),
    max_attempts         int NOT NULL DEFAULT 3 CHECK (max_attempts BETWEEN 1 AND 100),
    config               jsonb NOT NULL DEFAULT '{}',
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, name)
);
COMMENT ON COLUMN eve.worker_types.instructions IS 'The skills attached to the type: Markdown that is given to the agent with every request.';
ALTER TABLE eve.worker_types ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.worker_types FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.worker_types TO eve_service
    USING (org_id = (SELECT eve.current_org())) WITH CHECK (org_id = eve.current_org());
CREATE POLICY platform ON eve.worker_types TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON eve.worker_types TO eve_service, eve_platform;
