#!/usr/bin/env bash
# What the tests need and Python cannot bring: Java (Hive tables), a browser (the page), PostgreSQL and MariaDB (metastore, JDBC), and
# through Maven the jars of deploy/jars/pom.xml, each profile into lib/<profile>/. With root or sudo the system parts come by apt; else one
# line says what to install. What is there already costs nothing; a part that cannot be had is said in one line and never stops the others.
set -u
cd "$(dirname "$0")/../.." || exit 1
jars=deploy/jars/pom.xml

has() { command -v "$1" >/dev/null 2>&1; }
java_major() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1; }
has_browser() { has chromium || has chromium-browser || has google-chrome; }
has_postgres() { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
has_mariadb() { has mariadbd || [ -x /usr/sbin/mariadbd ]; }

missing=()
major=$(java_major)
if [ -z "${major}" ] || [ "${major}" -lt 17 ]; then missing+=(openjdk-17-jre-headless); fi
has_browser || missing+=(chromium)
has mvn || missing+=(maven)
has_postgres || missing+=(postgresql)
has_mariadb || missing+=(mariadb-server)

install() {  # quietly; RUNLEVEL=1: no database server is started by its package, the tests start their own
  $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq "$@" >/dev/null 2>&1
}

install_missing() {
  local sudo="" package
  if [ "$(id -u)" -ne 0 ]; then
    if has sudo && sudo -n true 2>/dev/null; then sudo="sudo -n"; else
      echo "install by hand: ${missing[*]} (no root and no sudo here); tests that need them fail until then"
      return
    fi
  fi
  has apt-get || { echo "install by hand: ${missing[*]} (there is no apt here); tests that need them fail until then"; return; }
  echo "installing ${missing[*]}"
  $sudo apt-get update -qq >/dev/null 2>&1
  install "${missing[@]}" && return
  for package in "${missing[@]}"; do  # one by one: a package that cannot be had must not hold up the others
    if [ "$package" = openjdk-17-jre-headless ]; then
      install openjdk-17-jre-headless || install openjdk-21-jre-headless || echo "could not install Java 17 or 21"
    else
      install "$package" || echo "could not install $package"
    fi
  done
}

# lib/<profile>/.stamp names the profile's text that its jars were copied for.
profile_text() { sed -n "/<properties>/,/<\/properties>/p; /<id>$1<\/id>/,/<\/profile>/p" "$jars"; }

copy_jars() {
  local profile wanted to
  for profile in $(sed -n 's/^ *<id>\(.*\)<\/id>.*/\1/p' "$jars"); do
    wanted=$(profile_text "$profile" | sha256sum | cut -c1-16)
    [ "$(cat "lib/$profile/.stamp" 2>/dev/null)" = "$wanted" ] && continue
    has mvn || { echo "Maven is missing: no jars for Kafka, JDBC and their tests (install maven, then make services); files and Hive work without"; return; }
    echo "fetching jars: $profile"
    to="lib/.$profile.$$"
    if mvn -q -B -f "$jars" "-P$profile" dependency:copy-dependencies "-DoutputDirectory=$PWD/$to" >"lib/.$profile.log" 2>&1; then
      echo "$wanted" >"$to/.stamp"
      rm -rf "lib/$profile" "lib/.$profile.log"
      mv "$to" "lib/$profile"
    else
      rm -rf "$to"
      echo "could not fetch the jars of $profile: $(sed 's/\x1b\[[0-9;]*m//g' "lib/.$profile.log" | grep -m 1 'ERROR' | cut -c1-300)"
    fi
  done
}

[ "${#missing[@]}" -eq 0 ] || install_missing
mkdir -p lib
exec 9>lib/.lock
if has flock; then flock 9; fi  # two runs at once: the second finds what the first brought
copy_jars
exit 0
