-- The reply to every request that came with an Idempotency-Key, until it expires.
-- digest: of user, route and key; fingerprint: of everything else that makes the request.

CREATE TABLE IF NOT EXISTS idempotency_keys (
    digest CHAR(64) NOT NULL,
    fingerprint CHAR(64) NOT NULL,
    user_name VARCHAR(255) NOT NULL,
    route VARCHAR(255) NOT NULL,
    request_key VARCHAR(255) NOT NULL,
    status SMALLINT NOT NULL,
    reply MEDIUMTEXT NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    PRIMARY KEY (digest),
    KEY idempotency_keys_expiry (expires_at)
) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
