"""`with_structured_output`: what a schema means, how a model is asked for it, and whether an answer is one."""
