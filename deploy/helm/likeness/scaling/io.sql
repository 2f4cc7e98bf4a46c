SELECT (SELECT count(*) FROM attempts a JOIN lanes l ON l.name = a.lane
        WHERE l.provider <> 'openai' AND (a.state IN ('admitted', 'submitting', 'collecting')
              OR a.state = 'generating' AND (a.due_at <= now() OR a.lease_until > now())))
     + (SELECT count(*) FROM preparations p
        WHERE p.place <> 'gpu' AND (p.published_at <= now() OR p.lease_until > now()))
