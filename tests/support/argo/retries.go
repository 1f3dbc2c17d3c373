package controller

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/util/workqueue"

	wfv1 "github.com/argoproj/argo-workflows/v4/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v4/util/logging"
)

// RetryQuestion is a task whose last attempt has just ended: what KFP wrote, and when attempts began.
type RetryQuestion struct {
	Limit, Duration, Factor, MaxDuration string
	StartedAgoS                          []int
	EndedAgoS                            int
	Phase                                wfv1.NodePhase
}

// RetryAnswer is what the controller makes of it.
type RetryAnswer struct {
	Phase     wfv1.NodePhase
	Message   string
	DeadlineS int // from now; until when a new attempt must have ended
}

// AskRetries lets the controller's own code decide, on a workflow of one task.
func AskRetries(asked RetryQuestion) (RetryAnswer, error) {
	ctx := logging.WithLogger(context.Background(), logging.NewSlogLogger(logging.Error, logging.Text))
	wf := &wfv1.Workflow{ObjectMeta: metav1.ObjectMeta{Name: "night"}}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	woc := &wfOperationCtx{
		wf: wf, execWf: wf, log: logging.RequireLoggerFromContext(ctx),
		controller: &WorkflowController{wfQueue: queue},
	}
	now := time.Now().UTC()
	node := wfv1.NodeStatus{
		ID: wf.NodeID("task"), Name: "task", Type: wfv1.NodeTypeRetry, Phase: wfv1.NodeRunning,
	}
	wf.Status.Nodes = wfv1.Nodes{}
	for number, agoS := range asked.StartedAgoS {
		name := fmt.Sprintf("task(%d)", number)
		child := wfv1.NodeStatus{
			ID: wf.NodeID(name), Name: name, Type: wfv1.NodeTypePod, Phase: asked.Phase,
			NodeFlag:   &wfv1.NodeFlag{Retried: true},
			StartedAt:  metav1.NewTime(now.Add(-time.Duration(agoS) * time.Second)),
			FinishedAt: metav1.NewTime(now.Add(-time.Duration(asked.EndedAgoS) * time.Second)),
		}
		wf.Status.Nodes[child.ID] = child
		node.Children = append(node.Children, child.ID)
	}
	wf.Status.Nodes[node.ID] = node
	text := func(value string) *intstr.IntOrString {
		return &intstr.IntOrString{Type: intstr.String, StrVal: value}
	}
	// As KFP writes it: no retryPolicy, no cap (argocompiler/container.go).
	strategy := wfv1.RetryStrategy{
		Limit: text(asked.Limit),
		Backoff: &wfv1.Backoff{
			Duration: asked.Duration, Factor: text(asked.Factor), MaxDuration: asked.MaxDuration,
		},
	}
	options := executeTemplateOpts{}
	found, _, err := woc.processNodeRetries(ctx, &node, strategy, &options)
	if err != nil {
		return RetryAnswer{}, err
	}
	answer := RetryAnswer{Phase: found.Phase, Message: found.Message}
	if !options.executionDeadline.IsZero() {
		answer.DeadlineS = int(options.executionDeadline.Sub(now).Seconds())
	}
	return answer, nil
}
