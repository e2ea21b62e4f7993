#!/usr/bin/env bash
set -e
exit 1
