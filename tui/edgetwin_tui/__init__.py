"""The architect's terminal: reads what `edgetwin` simulates; `edgetwin` never imports it."""
