SELECT count(*) FROM attempts a JOIN lanes l ON l.name = a.lane
WHERE l.provider = 'openai' AND a.state IN ('admitted', 'submitting')
