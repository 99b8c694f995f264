"""Pictures that live in the notebook: their traits, their front-end files, their stills."""
