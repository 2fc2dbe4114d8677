-- name: find
SELECT fingerprint, status, reply, expires_at > CURRENT_TIMESTAMP(6)
FROM idempotency_keys WHERE digest = %s;

-- name: stored
SELECT digest FROM idempotency_keys WHERE digest IN (%s);

-- name: insert
INSERT INTO idempotency_keys
    (digest, fingerprint, user_name, route, request_key, status, reply, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, DATE_ADD(CURRENT_TIMESTAMP(6), INTERVAL %s MINUTE));

-- Checks the expiry again, because another process may have renewed the key since `find`.
-- name: delete_expired
DELETE FROM idempotency_keys WHERE digest = %s AND expires_at <= CURRENT_TIMESTAMP(6);

-- name: purge
DELETE FROM idempotency_keys WHERE expires_at <= CURRENT_TIMESTAMP(6)
ORDER BY expires_at LIMIT %s;
