#!/usr/bin/env bash
# System parts that the tests need and that Python cannot bring: Java (Hive tables) and a browser (the page).
# With root or sudo they come by apt; else one line says what to install.
set -u
missing=()
java_major() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1; }
major=$(java_major)
if [ -z "${major}" ] || [ "${major}" -lt 17 ]; then missing+=(openjdk-17-jre-headless); fi
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing+=(chromium)
[ "${#missing[@]}" -eq 0 ] && exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo="sudo -n"; else
    echo "install by hand: ${missing[*]} (no root and no sudo here); tests that need them fail until then"
    exit 0
  fi
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq >/dev/null 2>&1
for package in "${missing[@]}"; do
  if [ "$package" = openjdk-17-jre-headless ]; then
    $sudo apt-get install -y -qq openjdk-17-jre-headless >/dev/null 2>&1 || $sudo apt-get install -y -qq openjdk-21-jre-headless >/dev/null 2>&1 || echo "could not install Java 17 or 21"
  else
    $sudo apt-get install -y -qq "$package" >/dev/null 2>&1 || echo "could not install $package"
  fi
done
exit 0
