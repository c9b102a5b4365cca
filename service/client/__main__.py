"""`python -m service.client` is `autoencoder`."""

from service.cli import main

if __name__ == "__main__":
    main()
