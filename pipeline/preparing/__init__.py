"""From a picture, a specification or a rough idea to the prompt: the stages before a picture is asked for."""
