# Redis and nginx of Debian in one image, for the web scenario where no registry answers.
FROM debian:trixie-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server redis-tools nginx-light curl && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled/default
