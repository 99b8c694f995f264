"""The wish: frozen data and pure code; no system call, no Jupyter, no clock."""
