"""``python -m cloudburst_kernel -f CONNECTION_FILE``: the command of the kernelspec."""

from cloudburst_kernel.kernel import main

if __name__ == "__main__":
    main()
