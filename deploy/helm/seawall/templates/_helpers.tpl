{{- define "seawall.name" -}}
{{- if contains "seawall" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-seawall" (.Release.Name | trunc 42 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "seawall.selector" -}}
app.kubernetes.io/name: seawall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "seawall.redisSelector" -}}
app.kubernetes.io/name: seawall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end -}}

{{- define "seawall.labels" -}}
app.kubernetes.io/name: seawall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "seawall.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "seawall.name" .) -}}
{{- end -}}

{{- define "seawall.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "seawall.bundled" -}}
{{- if and (eq .Values.state.kind "redis") .Values.state.redis.bundled.enabled -}}yes{{- end -}}
{{- end -}}

{{/* The Secret with the password of Redis; empty when there is none. */}}
{{- define "seawall.passwordSecret" -}}
{{- if eq .Values.state.kind "redis" -}}
{{- if include "seawall.bundled" . -}}
{{ include "seawall.name" . }}-redis
{{- else -}}
{{ .Values.state.redis.passwordSecret.name }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* seawall.yaml: what the chart knows, and over it what `config` says. */}}
{{- define "seawall.config" -}}
{{- $server := dict "listen" "0.0.0.0:8080" "metricsListen" "0.0.0.0:9090" "timeouts" (dict "drainDelay" "5s") -}}
{{- if .Values.tls.secret -}}
{{- $tls := dict "cert" "/etc/seawall/tls/tls.crt" "key" "/etc/seawall/tls/tls.key" -}}
{{- if .Values.tls.clientCA }}{{ $_ := set $tls "clientCA" "/etc/seawall/tls/ca.crt" }}{{ end -}}
{{- $_ := set $server "tls" $tls -}}
{{- end -}}
{{- $state := dict "kind" .Values.state.kind -}}
{{- if eq .Values.state.kind "redis" -}}
{{- $redis := dict "urls" .Values.state.redis.urls "mode" .Values.state.redis.mode -}}
{{- if include "seawall.bundled" . -}}
{{- $_ := set $redis "urls" (list (printf "redis://%s-redis:6379" (include "seawall.name" .))) -}}
{{- $_ := set $redis "mode" "standalone" -}}
{{- $_ := set $redis "durability" "aof" -}}
{{- else -}}
{{- with .Values.state.redis.sentinelMaster }}{{ $_ := set $redis "sentinelMaster" . }}{{ end -}}
{{- with .Values.state.redis.username }}{{ $_ := set $redis "username" . }}{{ end -}}
{{- end -}}
{{- if include "seawall.passwordSecret" . }}{{ $_ := set $redis "passwordFile" "/etc/seawall/redis/password" }}{{ end -}}
{{- if .Values.state.redis.caSecret.name }}{{ $_ := set $redis "tlsCa" "/etc/seawall/redis-ca/ca.crt" }}{{ end -}}
{{- with .Values.state.redis.durability }}{{ $_ := set $redis "durability" . }}{{ end -}}
{{- $_ := set $state "redis" $redis -}}
{{- else -}}
{{- $_ := set $state "embedded" (dict "path" "/var/lib/seawall/data") -}}
{{- end -}}
{{- $config := dict "server" $server "state" $state -}}
{{- if .Values.policies }}{{ $_ := set $config "classify" (dict "policyDir" "/etc/seawall/policies") }}{{ end -}}
{{- mergeOverwrite $config (deepCopy .Values.config) | toYaml -}}
{{- end -}}
