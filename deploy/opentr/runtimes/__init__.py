"""How services and the app's commands run: a small class a runtime."""
