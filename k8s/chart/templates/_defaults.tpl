{{/* Made from values.yaml by `make rendered`. */}}
{{- define "wxmint.defaults" -}}
image:
  repository: ""
  tag: ""
  digest: ""
  pullPolicy: ""
imagePullSecrets: []
nameOverride: ""
fullnameOverride: ""
commonLabels: {}
commonAnnotations: {}
issuer: ""
appid: ""
appsSecret: ""
settings: {}
extraEnv: []
secrets:
  keys: {name: ""}
  vault: {name: "", key: vault.key}
  app: {name: "", key: secret}
  redis: {name: "", key: url}
  adminTokens: {name: "", key: admin.tokens}
redis:
  caSecret: ""
  clientCertificate: false
  cidrs: []
  ports: [6379]
  podPorts: [6379, 26379]
  podPolicy: true
accountsInCluster:
  url: ""
  port: 8080
stopDelay: 5
replicaCount: 2
autoscaling:
  enabled: false
  minReplicas: 3
  maxReplicas: 12
  targetCPUUtilizationPercentage: 60
podDisruptionBudget:
  enabled: true
  minAvailable: ""
  maxUnavailable: 1
strategy: {}
revisionHistoryLimit: 10
resources:
  requests:
    cpu: 50m
    memory: 32Mi
  limits:
    memory: 128Mi
podSecurityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
topologySpreadConstraints:
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
nodeSelector: {}
tolerations: []
affinity: {}
priorityClassName: ""
hostAliases: []
dnsPolicy: ""
dnsConfig: {}
podAnnotations: {}
podLabels: {}
deploymentAnnotations: {}
extraVolumes: []
extraVolumeMounts: []
initContainers: []
extraContainers: []
extraObjects: []
serviceAccount:
  create: true
  name: ""
  annotations: {}
admin:
  enabled: false
service:
  type: ClusterIP
  port: 80
  annotations: {}
  ipFamilyPolicy: ""
  ipFamilies: []
  externalTrafficPolicy: ""
  loadBalancerClass: ""
ingress:
  enabled: false
  className: ""
  annotations: {}
  hosts: []
  tls:
    - secretName: ""
gateway:
  enabled: false
  className: ""
  annotations: {}
  certificateRefs:
    - name: ""
httpRoute:
  enabled: false
  annotations: {}
  parentRefs: []
  hostnames: []
networkPolicy:
  enabled: true
  flavor: kubernetes
  monitoringNamespace: monitoring
  loadBalancers: []
  dnsAddresses: []
  publicHttps: true
  defaultDeny: false
  extraIngress: []
  extraEgress: []
rotation:
  enabled: true
  every: 30d
  tokenTtl: ""
  apiServer:
    cidrs: [10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16]
    ports: [443, 6443]
  serviceAccount:
    create: true
    name: ""
    annotations: {}
  podLabels:
    sidecar.istio.io/inject: "false"
  podAnnotations:
    linkerd.io/inject: disabled
  resources:
    requests:
      cpu: 10m
      memory: 16Mi
    limits:
      memory: 64Mi
test:
  simulator: ""
  appid: ""
  podLabels:
    sidecar.istio.io/inject: "false"
  podAnnotations:
    linkerd.io/inject: disabled
  resources:
    requests:
      cpu: 10m
      memory: 16Mi
    limits:
      memory: 64Mi
podMonitor:
  enabled: false
  interval: 30s
  labels: {}
  annotations: {}
serviceMonitor:
  enabled: false
  interval: 30s
  labels: {}
  annotations: {}
prometheusRule:
  enabled: false
  labels: {}
  annotations: {}
  repository: https://git.example.com/wxmint
grafanaDashboard:
  enabled: false
  sidecarLabel: grafana_dashboard
  sidecarLabelValue: "1"
  annotations: {}
peer:
  enabled: false
  audience: ""
  sidecar: true
  image: ""
  resources:
    requests:
      cpu: 50m
      memory: 64Mi
    limits:
      memory: 256Mi
  nginx:
    image: nginxinc/nginx-unprivileged:1.28-alpine
    maxBodySize: 1m
    webSocket: false
    workerConnections: 4096
    clientTimeout: 10
    resources:
      requests:
        cpu: 20m
        memory: 32Mi
      limits:
        memory: 128Mi
  istio: false
  issuerCidrs: []
  issuerInCluster:
    namespace: ""
    service: wxmint
    port: 80
{{- end }}
