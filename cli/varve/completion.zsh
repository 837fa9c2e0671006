#compdef varve
# Completion of varve for zsh: source <(varve completion zsh), after compinit
_varve() {
  local line files
  local -a lines found
  lines=("${(@f)$("${(Q)${words[1]/#\~/$HOME}}" completion words -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    if [[ $line == :files ]]; then
      files=1
    elif [[ $line != *$'\t'* ]]; then
      found+=("${line//:/\\:}")
    else
      found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    fi
  done
  (( $#found )) && _describe varve found
  if [[ -n $files ]]; then
    compset -P '--*='
    _files
  fi
}
if [[ ${funcstack[1]} == _varve ]]; then
  _varve "$@"
else
  compdef _varve varve
fi
