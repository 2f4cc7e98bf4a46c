SELECT (SELECT count(*) FROM attempts a WHERE a.state = 'validating')
     + (SELECT count(*) FROM preparations p
        WHERE p.place = 'gpu' AND (p.published_at <= now() OR p.lease_until > now()))
