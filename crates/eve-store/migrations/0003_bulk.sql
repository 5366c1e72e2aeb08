-- Many requests at once: calls that make many, and one change for many.

-- A key now names what any call made: a request, the first of many, or a bulk action.
ALTER TABLE eve.idempotency_keys ADD COLUMN made uuid[];
COMMENT ON COLUMN eve.idempotency_keys.request_id IS 'What the call made: a request, the first of many, or a bulk action.';
COMMENT ON COLUMN eve.idempotency_keys.made IS 'All that the call made, in its order, where it may make more than one request.';

-- One change for many requests, done in batches by a service. A batch and the place it came to are written in one
-- transaction, under the lock of this row, so that each request is changed once, whoever works and whoever dies. Few
-- rows, hence the foreign key.
CREATE TABLE eve.bulk_actions (
    org_id      uuid NOT NULL,
    id          uuid NOT NULL,
    user_id     uuid NOT NULL,
    key_id      uuid NOT NULL,
    -- Only requests from before this moment count, so that what the action makes is not acted upon.
    created_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz,
    -- When it last had its turn: whose turn is longest ago is next.
    served_at   timestamptz NOT NULL DEFAULT now(),
    -- The last request that was looked at.
    cursor_id   uuid,
    done        bigint NOT NULL DEFAULT 0,
    skipped     bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    priority    smallint,
    action      text NOT NULL CHECK (action IN ('cancel', 'replay', 'reprioritise')),
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'completed', 'cancelled')),
    -- Who asked, as events name them.
    user_name   text NOT NULL,
    -- Which requests.
    filter      jsonb NOT NULL,
    -- How many were left alone, and how many failed, by reason.
    reasons     jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES eve.members (org_id, user_id),
    CHECK ((action = 'reprioritise') = (priority IS NOT NULL)),
    CHECK ((state IN ('completed', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 50);
CREATE INDEX bulk_actions_open ON eve.bulk_actions (served_at) WHERE state IN ('pending', 'running');
ALTER TABLE eve.bulk_actions ENABLE ROW LEVEL SECURITY;
ALTER TABLE eve.bulk_actions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON eve.bulk_actions TO eve_service
    USING (org_id = (SELECT eve.current_org())) WITH CHECK (org_id = eve.current_org());
CREATE POLICY platform ON eve.bulk_actions TO eve_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON eve.bulk_actions TO eve_service;
GRANT SELECT, DELETE ON eve.bulk_actions TO eve_platform;
