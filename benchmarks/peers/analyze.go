// What do istioctl's analyzers say about files? Reads cases as JSON from standard input, one per line
// ({"name": "...", "files": ["a.yaml"], "meshConfig": "mesh.yaml", "meshNetworks": "networks.yaml"}), runs
// every analyzer of the Istio module over each, and prints one line of JSON per case:
// {"name": "...", "error": "...", "messages": [{"code", "severity", "kind", "namespace", "name", "file", "line", "text"}]}.
//
// `istioctl analyze --use-kube=false` refuses Services, Pods, Namespaces, Secrets and Nodes that come from
// files, so most of its analyzers never run offline. Here all kinds are fed to them, as their own unit tests
// do, with the ingress gateway that those tests presuppose. Objects without a namespace are in `default`.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"istio.io/istio/pilot/pkg/config/aggregate"
	"istio.io/istio/pilot/pkg/config/file"
	"istio.io/istio/pilot/pkg/config/memory"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/diag"
	"istio.io/istio/pkg/config/analysis/legacy/util/kuberesource"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/collection"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/inject"
	"istio.io/istio/pkg/log"
)

const ingress = `
apiVersion: v1
kind: Pod
metadata: {name: istio-ingressgateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec:
  containers: [{name: istio-proxy}]
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  ports:
    - {name: http2, port: 80, protocol: TCP, targetPort: 80}
    - {name: https, port: 443, protocol: TCP, targetPort: 443}
    - {name: tcp, port: 31400, protocol: TCP, targetPort: 31400}
    - {name: tls, port: 15443, protocol: TCP, targetPort: 15443}
`

type request struct {
	Name         string   `json:"name"`
	Files        []string `json:"files"`
	MeshConfig   string   `json:"meshConfig"`
	MeshNetworks string   `json:"meshNetworks"`
}

type message struct {
	Code      string `json:"code"`
	Severity  string `json:"severity"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	File      string `json:"file"`
	Line      int    `json:"line"`
	Text      string `json:"text"`
}

type response struct {
	Name     string    `json:"name"`
	Error    string    `json:"error,omitempty"`
	Messages []message `json:"messages"`
}

func main() {
	quiet := log.DefaultOptions()
	quiet.OutputPaths = []string{"stderr"} // standard output is for answers
	if err := log.Configure(quiet); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<26)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var one request
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			fmt.Fprintln(os.Stderr, "not a case:", err)
			os.Exit(2)
		}
		_ = out.Encode(answer(one))
	}
}

func answer(one request) (said response) {
	said = response{Name: one.Name, Messages: []message{}}
	var notes []string
	defer func() {
		if crash := recover(); crash != nil {
			notes = append(notes, fmt.Sprint("crashed: ", crash))
		}
		said.Error = strings.Join(notes, "; ")
	}()
	messages, errs := analyze(one)
	for _, err := range errs {
		notes = append(notes, err.Error())
	}
	for i := range messages {
		said.Messages = append(said.Messages, plain(&messages[i]))
	}
	return said
}

// analyze runs all analyzers; objects that cannot be parsed are errors, and the others still count.
func analyze(one request) (diag.Messages, []error) {
	all := analyzers.AllCombined()
	objects := file.NewKubeSource(kuberesource.ConvertInputsToSchemas(all.Metadata().Inputs))
	objects.SetDefaultNamespace("default")
	objects.SetNamespacesFilter(examined)
	errs := load(objects, one.Files)
	settings, err := meshSettings(one)
	if err != nil {
		return nil, append(errs, err)
	}
	store, err := aggregate.MakeWriteableCache([]model.ConfigStoreController{objects, settings}, nil)
	if err != nil {
		return nil, append(errs, err)
	}
	stop := make(chan struct{})
	defer close(stop)
	go store.Run(stop)
	kube.WaitForCacheSync("analysis", stop, store.HasSynced)
	stores := map[cluster.ID]model.ConfigStore{"default": store}
	context := local.NewContext(stores, stop, func(config.GroupVersionKind) {})
	all.Analyze(context)
	reported := context.(interface {
		GetMessages(...string) diag.Messages
	})
	messages := reported.GetMessages()
	return messages.SortedDedupedCopy(), errs
}

// examined leaves out the namespaces of Kubernetes itself, as istioctl does.
func examined(object any) bool {
	one, ok := object.(config.Config)
	if !ok {
		return false
	}
	namespace := one.Namespace
	if one.GroupVersionKind == gvk.Namespace {
		namespace = one.Name
	}
	return !inject.IgnoredNamespaces.Contains(namespace)
}

func load(objects *file.KubeSource, paths []string) (errs []error) {
	if err := objects.ApplyContent("ingress", ingress); err != nil {
		errs = append(errs, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil {
			err = objects.ApplyContent(path, string(text))
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// meshSettings holds the mesh configuration and the networks, which the analyzers look up as objects.
func meshSettings(one request) (model.ConfigStoreController, error) {
	meshConfig, networks := mesh.DefaultMeshConfig(), mesh.DefaultMeshNetworks()
	if one.MeshConfig != "" {
		text, err := os.ReadFile(one.MeshConfig)
		if err != nil {
			return nil, err
		}
		if meshConfig, err = mesh.ApplyMeshConfigDefaults(string(text)); err != nil {
			return nil, err
		}
	}
	if one.MeshNetworks != "" {
		var err error
		if networks, err = mesh.ReadMeshNetworks(one.MeshNetworks); err != nil {
			return nil, err
		}
	}
	store := memory.NewController(memory.Make(collection.SchemasFor(collections.MeshConfig, collections.MeshNetworks)))
	for _, entry := range []struct {
		kind config.GroupVersionKind
		name string
		spec proto.Message
	}{{gvk.MeshConfig, "meshconfig", meshConfig}, {gvk.MeshNetworks, "meshnetworks", networks}} {
		meta := config.Meta{GroupVersionKind: entry.kind, Name: entry.name, Namespace: "istio-system"}
		if _, err := store.Create(config.Config{Meta: meta, Spec: entry.spec}); err != nil {
			return nil, err
		}
	}
	return store, nil
}

func plain(m *diag.Message) message {
	said := message{
		Code:     m.Type.Code(),
		Severity: strings.ToLower(m.Type.Level().String()),
		Text:     fmt.Sprintf(m.Type.Template(), m.Parameters...),
	}
	if m.Resource == nil {
		return said
	}
	said.Kind, _, _ = strings.Cut(m.Resource.Origin.FriendlyName(), " ")
	said.Namespace = m.Resource.Metadata.FullName.Namespace.String()
	said.Name = m.Resource.Metadata.FullName.Name.String()
	if at := m.Resource.Origin.Reference(); at != nil {
		where := at.String()
		colon := strings.LastIndex(where, ":")
		said.File = where[:max(colon, 0)]
		said.Line, _ = strconv.Atoi(where[colon+1:])
		if m.Line != 0 {
			said.Line = m.Line
		}
	}
	return said
}
