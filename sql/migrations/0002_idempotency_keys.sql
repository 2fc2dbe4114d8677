-- The reply to each request with an Idempotency-Key, until it expires. digest: a hash of user,
-- route and key; fingerprint: a hash of the rest of the request.

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
