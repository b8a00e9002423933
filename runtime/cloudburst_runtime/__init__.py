"""The runtime of cloudburst-nb: scheduler, executors, Anna and client as cores behind thin shells."""
