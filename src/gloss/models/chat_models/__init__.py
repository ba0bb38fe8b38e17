"""Language models that are asked: prompts, clients, what each can do, what it answered and cost."""
