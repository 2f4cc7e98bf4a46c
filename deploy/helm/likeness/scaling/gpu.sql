SELECT count(*) FROM attempts a WHERE a.state = 'validating'
