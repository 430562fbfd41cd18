// What does istioctl's analyzer say about files? Reads cases as JSON from standard input, one per line
// ({"name": "...", "files": ["a.yaml"], "meshConfig": "mesh.yaml", "meshNetworks": "networks.yaml"}), runs
// every analyzer of the Istio module over each, and prints one line of JSON per case:
// {"name": "...", "error": "...", "messages": [{"code", "severity", "kind", "namespace", "name", "file", "line", "text"}]}.
//
// `istioctl analyze --use-kube=false` refuses Services, Pods, Namespaces, Secrets and Nodes that come from
// files, so most of its analyzers never run offline. Here all kinds are fed to them, the way the analyzers' own
// unit tests do it; the ingress gateway that those tests presuppose is there, too.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/diag"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/log"
)

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
		_ = out.Encode(analyze(one))
	}
}

func analyze(one request) (answer response) {
	answer = response{Name: one.Name, Messages: []message{}}
	defer func() {
		if crash := recover(); crash != nil {
			answer.Error = fmt.Sprint("crashed: ", crash)
		}
	}()
	source := local.NewSourceAnalyzer(analyzers.AllCombined(), "", "istio-system", nil)
	var notes []string
	note := func(err error) {
		if err != nil {
			notes = append(notes, err.Error())
		}
	}
	if one.MeshConfig != "" {
		note(source.AddFileKubeMeshConfig(one.MeshConfig))
	}
	if one.MeshNetworks != "" {
		note(source.AddFileKubeMeshNetworks(one.MeshNetworks))
	}
	var readers []local.ReaderSource
	for _, path := range one.Files {
		file, err := os.Open(path)
		if err != nil {
			note(err)
			continue
		}
		defer file.Close()
		readers = append(readers, local.ReaderSource{Name: path, Reader: file})
	}
	note(source.AddTestReaderKubeSource(readers))
	note(source.AddDefaultResources())
	result, err := source.Analyze(make(chan struct{}))
	note(err)
	for i := range result.Messages {
		answer.Messages = append(answer.Messages, plain(&result.Messages[i]))
	}
	answer.Error = strings.Join(notes, "; ")
	return answer
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
