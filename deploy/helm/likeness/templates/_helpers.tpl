{{/* Labels of everything of one role. */}}
{{- define "likeness.selector" -}}
app.kubernetes.io/name: likeness
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{/* Longer than the longest step of the role: a worker that is told to end finishes what it runs. */}}
{{- define "likeness.grace" -}}
{{- if eq .role "io-sync" }}{{ add .root.Values.longestCallSeconds 120 }}{{ else if has .role (list "io" "gpu") }}90{{ else }}30{{ end }}
{{- end }}

{{/* What every container of ours is given and denied. */}}
{{- define "likeness.container" -}}
image: {{ ternary .root.Values.images.gpu .root.Values.images.app (eq .role "gpu") | quote }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
envFrom:
  - secretRef: { name: {{ .root.Values.secretName | quote }} }
env:
  - { name: LIKENESS_HOME, value: /tmp/likeness }
  - { name: LIKENESS_PICTURES, value: /pictures }
  - { name: OPENAI_TOTAL_S, value: {{ .root.Values.longestCallSeconds | quote }} }
  {{- if eq .role "api" }}
  - { name: LIKENESS_API_HOST, value: "0.0.0.0" }
  - { name: LIKENESS_API_PORT, value: "8800" }
  {{- else if eq .role "flower" }}
  - { name: FLOWER_ADDRESS, value: "0.0.0.0" }
  - { name: FLOWER_PORT, value: "5555" }
  {{- else if eq .role "io" }}
  - { name: LIKENESS_IO_THREADS, value: {{ .root.Values.roles.io.threads | quote }} }
  {{- else if eq .role "gpu" }}
  - { name: LIKENESS_GPU_THREADS, value: {{ .root.Values.roles.gpu.threads | quote }} }
  {{- end }}
  {{- range $name, $value := .root.Values.settings }}
  - { name: {{ $name }}, value: {{ $value | quote }} }
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: pictures, mountPath: /pictures }
  {{- if eq .role "gpu" }}
  - { name: weights, mountPath: /weights }
  {{- end }}
{{- end }}

{{- define "likeness.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - { name: tmp, emptyDir: {} }
  - { name: pictures, persistentVolumeClaim: { claimName: {{ .root.Values.picturesClaim | quote }} } }
  {{- if eq .role "gpu" }}
  - { name: weights, emptyDir: {} }
  {{- end }}
{{- end }}

{{- define "likeness.probe" -}}
exec: { command: [likeness, health, --role, {{ .role }}] }
timeoutSeconds: 20
{{- end }}
